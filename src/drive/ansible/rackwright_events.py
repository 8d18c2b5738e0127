"""What happens in a playbook, told to rackwright: one JSON object on a line for each event, into a pipe.

Beside the output that people read, which stays whatever the site has chosen. Works with ansible-core 2.14 to 2.19.
"""

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: rackwright_events
    type: notification
    short_description: tells rackwright how far a playbook is
    description:
        - Writes one JSON object on a line for each event into the pipe that RACKWRIGHT_EVENTS names.
    requirements: []
"""

# Longer texts are cut: they are for a line of a report.
LONGEST = 2000


def plain(value):
    return str(value)[:LONGEST]


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "rackwright_events"
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.pipe = None
        path = os.environ.get("RACKWRIGHT_EVENTS")
        if path:
            try:
                # Without a reader this fails instead of waiting for one.
                self.pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                os.set_blocking(self.pipe, True)
            except OSError:
                self.pipe = None

    def tell(self, event, **fields):
        if self.pipe is None:
            return
        fields["event"] = event
        rest = (json.dumps(fields) + "\n").encode()
        try:
            while rest:
                rest = rest[os.write(self.pipe, rest):]
        except OSError:
            # Nobody listens any more; the playbook goes on.
            self.pipe = None

    def v2_playbook_on_play_start(self, play):
        self.tell("play", name=plain(play.get_name()))

    def v2_playbook_on_task_start(self, task, is_conditional):
        self.tell("task", name=plain(task.get_name()))

    def v2_playbook_on_cleanup_task_start(self, task):
        self.tell("task", name=plain(task.get_name()))

    def v2_playbook_on_handler_task_start(self, task):
        self.tell("task", name=plain(task.get_name()))

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if not ignore_errors:
            self.trouble("failed", result)

    def v2_runner_on_unreachable(self, result):
        self.trouble("unreachable", result)

    def trouble(self, event, result):
        host, task = parts(result)
        self.tell(event, host=plain(host.get_name()), task=plain(task.get_name()), message=why(content(result)))

    def v2_playbook_on_stats(self, stats):
        for host in sorted(stats.processed):
            one = stats.summarize(host)
            self.tell("host", host=plain(host), failed=one["failures"], unreachable=one["unreachable"])
        self.tell("end")


def parts(result):
    """Host and task of a result; ansible-core 2.19 has other names for them."""
    if hasattr(result, "host") and hasattr(result, "task"):
        return result.host, result.task
    return result._host, result._task


def content(result):
    """What a module returned; what `no_log` hides is hidden already."""
    return result.result if hasattr(result, "result") else result._result


def why(result):
    """A failure in a line."""
    if not isinstance(result, dict):
        return plain(result)
    if "censored" in result:
        return "hidden by no_log"
    for item in result.get("results") or []:
        if isinstance(item, dict) and item.get("failed"):
            return why(item)
    message = plain(result.get("msg") or "").strip()
    said = plain(result.get("stderr") or result.get("module_stderr") or result.get("module_stdout") or "").strip()
    last = said.splitlines()[-1] if said else ""
    if not message or message in ("non-zero return code", "MODULE FAILURE"):
        return ": ".join(part for part in (message, last) if part) or "it says nothing about it"
    return message
