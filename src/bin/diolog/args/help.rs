//! Examples for `--help`, printed before the exit statuses.

pub(super) const WRITE: &str = "Examples:
  my-service 2>&1 | diolog write /var/log/my-service
  diolog write --retain-bytes '10 GiB' --rotate-after '1 day' DIR < lines.txt

Signals: after SIGINT (Ctrl-C) and SIGHUP the input is read on to its end, or until nothing has come for 2 s; after \
SIGTERM and SIGQUIT as far as the pipe holds it. All of it is then made durable. A second signal ends at once.";

#[cfg(target_os = "linux")]
pub(super) const RUN: &str = "Examples:
  diolog run /var/log/my-service -- my-service --port 8080
  diolog run --tee --stderr-level error DIR -- make";

pub(super) const CAT: &str = "Examples:
  diolog cat DIR                        all records, the oldest first
  diolog cat -n 100 -r DIR              the last 100, the newest first
  diolog cat orders payments            two logs in one, by wall time
  diolog cat --format json DIR | jq .message
  diolog cat --format message DIR > lines.txt

With -r, lines beyond 64 MiB are kept in a temporary file (in $TMPDIR) until all have been read.

On a terminal, the text goes through a pager: $DIOLOG_PAGER, else $PAGER, else less.";

pub(super) const TAIL: &str = "Examples:
  diolog tail DIR                       the last 10 records
  diolog tail -f -n 0 DIR               new ones only, until Ctrl-C
  diolog tail -F DIR                    also across a removal of the log, and before it is there
  diolog tail -f --format json orders payments";

pub(super) const INFO: &str = "Examples:
  diolog info DIR
  diolog info --format json DIR | jq '.segments[].path'";

pub(super) const VERIFY: &str = "Examples:
  diolog verify DIR
  diolog verify --format json DIR | jq .verdict
  diolog verify DIR > /dev/null || echo \"status $?\"";

pub(super) const BENCH: &str = "Examples:
  diolog bench append                   what an append costs on this machine
  diolog bench sustained /mnt/disk      records a second until they are durable
  diolog bench disk --flush-each DIR    how long one durable record takes";

pub(super) const COMPLETIONS: &str = "Examples:
  diolog completions bash > ~/.local/share/bash-completion/completions/diolog
  diolog completions zsh > ~/.zfunc/_diolog
  diolog completions fish > ~/.config/fish/completions/diolog.fish";

pub(super) const MAN: &str = "Examples:
  diolog man ~/.local/share/man/man1 && man diolog-cat";

/// Examples, and what follows them.
pub(super) fn then(examples: &str, rest: &str) -> String {
    format!("{examples}\n\n{rest}")
}
