//! A whole rack without hardware, shipped to users (`rackwright demo`) and used by the tests.
