//! Templates: minijinja, strict, without any I/O.
//!
//! Used twice: for the boot and answer files of installers, and for Jinja inside values of the repository.

use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};

/// Steps one rendering may take: bounds loops.
const FUEL: u64 = 200_000;

/// An environment in which an undefined variable is an error, nothing is escaped by file name, and no file is read.
pub fn environment() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_fuel(Some(FUEL));
    env.set_recursion_limit(50);
    // Debug information quotes the values of variables, secrets included.
    env.set_debug(false);
    env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    env.add_filter("shell", shell);
    env.add_filter("ipxe", ipxe);
    env
}

/// `value | shell`: one word for a POSIX shell, whatever is in it.
fn shell(value: String) -> Result<String, Error> {
    if value.contains('\0') {
        return Err(Error::new(ErrorKind::InvalidOperation, "a shell word cannot hold a NUL character"));
    }
    Ok(format!("'{}'", value.replace('\'', r"'\''")))
}

/// `value | ipxe`: refused when it could end the line of an iPXE script; iPXE has no quoting.
fn ipxe(value: String) -> Result<String, Error> {
    if value.chars().any(char::is_control) {
        return Err(Error::new(ErrorKind::InvalidOperation, "a line of an iPXE script cannot hold control characters"));
    }
    Ok(value)
}

/// What went wrong, without any value of a variable: kind and, unless it could quote one, detail.
pub fn reason(error: &Error) -> String {
    match (error.kind(), error.detail()) {
        (ErrorKind::UndefinedError, None) => "a variable is undefined".into(),
        (ErrorKind::OutOfFuel, _) => "it takes too many steps".into(),
        (kind @ (ErrorKind::BadSerialization | ErrorKind::CannotDeserialize), _) => kind.to_string(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    }
}

/// Whether a text has Jinja in it.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::context;

    #[test]
    fn words_survive_a_shell() {
        let env = environment();
        let render = |value: &str| env.render_str("{{ v | shell }}", context! { v => value });
        assert_eq!(render("it's $HOME `x`").unwrap(), r"'it'\''s $HOME `x`'");
        assert!(render("a\0b").is_err());
    }

    #[test]
    fn lines_of_ipxe_stay_one_line() {
        let env = environment();
        assert!(env.render_str("{{ v | ipxe }}", context! { v => "a\nsanboot" }).is_err());
        assert_eq!(env.render_str("{{ v | ipxe }}", context! { v => "console=ttyS0" }).unwrap(), "console=ttyS0");
    }

    #[test]
    fn undefined_and_endless_are_errors() {
        let env = environment();
        assert!(env.render_str("{{ missing }}", context! {}).is_err());
        let endless = "{% for a in range(90000) %}{% for b in range(90000) %}x{% endfor %}{% endfor %}";
        assert_eq!(env.render_str(endless, context! {}).unwrap_err().kind(), ErrorKind::OutOfFuel);
    }
}
