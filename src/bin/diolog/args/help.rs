//! What follows the options in `--help`: examples, notes, and the exit statuses of the command.

/// Of all commands together.
pub(super) const DIOLOG: &str = "Examples:
  my-service 2>&1 | diolog write /var/log/my-service
  diolog tail -f /var/log/my-service
  diolog cat --level warn --since '2h ago' /var/log/my-service
  diolog verify /var/log/my-service

Exit status (`diolog COMMAND --help` has that of one command):
  0        clean, or in use with nothing lost so far
  1        unconfirmed: a run ended without close, unacknowledged blocks are
           missing, a segment's header is damaged, or a part could not be read
  2        records are lost
  3        cannot be read or written, a part can be read only by a newer diolog,
           or the log is in use by another process
  4        intact, and records were dropped by the overflow policy or found no
           ring (0 with --allow-drops)
  64       invalid command line or settings
  128 + N  ended by signal N: 130 after Ctrl-C (tail -f: 0, 2, 3 or 4 as above)

If several apply, the most serious one counts. From the least serious to the most: 0 (clean), 4 (dropped), \
1 (unconfirmed), 3 (a newer diolog), 2 (lost), 3 (cannot be read).";

pub(super) const WRITE: &str = "Examples:
  my-service 2>&1 | diolog write /var/log/my-service
  diolog write --retain-bytes '10 GiB' --rotate-after '1 day' DIR < lines.txt

Signals: after SIGINT (Ctrl-C) and SIGHUP, the input is read to its end, or until nothing has come for 2 s. After \
SIGTERM and SIGQUIT, only what the pipe holds is read. All of it is then made durable. A second signal ends the \
command at once.

Exit status:
  0        every line is in the log, whole and durable, but for those that the
           environment variable DIOLOG_LEVEL excludes
  2        lines were cut, are not in the log, or are not known to be durable
  3        the log cannot be opened, or is in use by another process, or standard
           input cannot be read
  64       invalid command line or settings
  128 + N  signal N asked for the end, and nothing is lost: 130 after Ctrl-C";

#[cfg(target_os = "linux")]
pub(super) const RUN: &str = "Examples:
  diolog run /var/log/my-service -- my-service --port 8080
  diolog run --tee --stderr-level error DIR -- make

Signals (HUP, INT, QUIT, TERM, USR1, USR2) are passed on to the command. If it has ended, and other processes still \
hold its output, the first signal ends the log after what they have written so far, and the second one at once.

Exit status: that of the command; messages say what is missing in the log.
  128 + N  signal N killed the command
  126      the command cannot be run
  127      the command is not found: then, and if its file is not executable, the
           log is not opened
  3        the log cannot be opened; the command has not been run
  64       invalid command line or settings";

pub(super) const CAT: &str = "Examples:
  diolog cat DIR                        all records, the oldest first
  diolog cat -n 100 -r DIR              the last 100, the newest first
  diolog cat orders payments            two logs in one, by wall time
  diolog cat --format json DIR | jq .message
  diolog cat --level warn --since '2h ago' DIR
  diolog cat --field 'price>100' --grep 'order [0-9]+' DIR
  diolog cat --format message DIR > lines.txt
  diolog cat --input asynclogger FILE   the entries of a file of asynclogger

With -r, lines beyond 64 MiB are kept in a temporary file (in $TMPDIR) until all have been read.

In JSON, nanoseconds, sequence numbers, and integers of fields beyond 2^53 are strings, since many programs would \
round them; so are the numbers NaN, inf and -inf. Bytes that are not UTF-8 stand in hexadecimal beside the field, as \
NAME_hex. \"cut\" names the fields that were cut. If two fields of a record have one name, as those of two spans with \
the same name, the second one has the key NAME_2.

On a terminal, the text goes through a pager: $DIOLOG_PAGER, else $PAGER, else less.

Exit status: it covers only what was read. That is all of the log; with -n its end, as far back as the wanted records \
go; with --since or --until, with or without -n, the blocks that may hold records of these times. If a block holds no \
record that the other filters could select, its records are not checked one by one.
  0    clean, or in use with nothing lost so far
  1    unconfirmed: a run ended without close, unacknowledged blocks are
       missing, a segment's header is damaged, or a part could not be read
  2    records are lost
  3    cannot be read, or parts of it only by a newer diolog
  4    intact, and records were dropped by the overflow policy or found no ring
       (0 with --allow-drops)
  64   invalid command line";

pub(super) const TAIL: &str = "Examples:
  diolog tail DIR                       the last 10 records
  diolog tail -f -n 0 DIR               new ones only, until Ctrl-C
  diolog tail -F DIR                    also across a removal of the log, and before it is there
  diolog tail -f --format json orders payments
  diolog tail -f --level warn --target my_service::net DIR

Exit status: it covers only what was read. That is the end of the log, as far back as the wanted records go, and what \
followed; with --since or --until the blocks that may hold records of these times. If a block holds no record that the \
other filters could select, its records are not checked one by one.
  0        clean, or in use with nothing lost so far; with -f also after Ctrl-C
  1        unconfirmed: a run ended without close, unacknowledged blocks are
           missing, a segment's header is damaged, or a part could not be read;
           with -f only the last of these
  2        records are lost
  3        cannot be read, or parts of it only by a newer diolog;
           with -f also if it was removed
  4        intact, and records were dropped by the overflow policy or found no
           ring (0 with --allow-drops)
  64       invalid command line
  128 + N  with -f, if signal N came before the last records had been read:
           130 after Ctrl-C";

pub(super) const INFO: &str = "Examples:
  diolog info DIR
  diolog info orders payments           one report after the other
  diolog info --format json DIR | jq '.segments[].path'

Exit status: it covers files and headers only; `diolog verify` checks the rest. Of several logs, the most serious one \
counts.
  0    every file is what its name says
  1    a header is damaged, or a file unreadable or in another's place
  3    cannot be read, or parts of it only by a newer diolog
  64   invalid command line";

pub(super) const SNAPSHOTS: &str = "Examples:
  diolog snapshots DIR
  diolog snapshots --format json DIR | jq -r '.snapshots[-1].path'
  diolog cat DIR DIR/snapshots          the log and its snapshots, merged by time

`cat`, `tail`, `info` and `verify` read a snapshot, or the folder of them, like a log.

Exit status:
  0    each is whole
  1    one is damaged, lacks a part, or cannot be read
  3    cannot be listed
  64   invalid command line";

pub(super) const TOP: &str = "Examples:
  diolog top DIR                        refreshed in place, until Ctrl-C
  diolog top --once orders payments
  diolog top --json DIR | jq .figures.written

A writer leaves its figures in blocks that it writes anyway, at most once a second. While nothing is logged, they do \
not change, and their age grows. Counts are those of the last run. Rates and latencies are those between its last two \
figures. The figures of a closed log are final, and have no rates. On a terminal that has no room for the figures of \
all logs, each log is a row of a table; those that lose records come first.

Waits for room, beside the rings, are what producers do under the policy that waits, as that of `diolog write`. Losses \
are shown, and do not change the exit status: `diolog verify` judges a log.

Exit status:
  0    all figures that there are were shown; also after Ctrl-C
  3    a log cannot be read
  64   invalid command line";

pub(super) const VERIFY: &str = "Examples:
  diolog verify DIR
  diolog verify orders payments         one report after the other
  diolog verify --format json DIR | jq .verdict
  diolog verify DIR > /dev/null || echo \"status $?\"

Exit status: of several logs, the most serious one counts.
  0    clean, or in use with nothing lost so far
  1    unconfirmed: a run ended without close, unacknowledged blocks are
       missing, a segment's header is damaged, or a part could not be read
  2    records are lost
  3    cannot be read, or parts of it only by a newer diolog
  4    intact, and records were dropped by the overflow policy or found no ring
       (0 with --allow-drops)
  64   invalid command line";

pub(super) const RECOVER: &str = "Examples:
  diolog recover DIR
  diolog recover events/*        the logs of an EventLogs
  diolog recover --rings /var/run/my-service DIR
  diolog recover --forget DIR    the rings will never be there again
  diolog recover --format json DIR | jq '.runs[].records'

If a program has its rings in shared memory (ring_memory) and dies, the records that it had logged and not yet written \
stay there. The next program that opens the log writes them to the log first. This command does the same without such \
a program. It can be ended at any moment and run again. With --forget, rings that cannot be recovered now are given \
up: what they held is lost, and the run stays unconfirmed.

Exit status:
  0    all that was left is in the log now, or nothing was left
  1    the rings of a run are gone or given up, or a run could not be
       recovered yet: the report says why
  2    a part of the ring file was damaged; the rest of it is in the log, and
       the file is kept under another name
  3    a log cannot be read or written, or is in use: its writer has recovered
       what earlier runs left, if it could
  64   invalid command line";

pub(super) const BENCH: &str = "Examples:
  diolog bench append                   what an append costs on this machine
  diolog bench sustained /mnt/disk      records a second until they are durable
  diolog bench disk --flush-each DIR    how long one durable record takes
  diolog bench load --rate 50% DIR      a service's load, at half of what the machine takes";

pub(super) const BENCH_APPEND: &str = "Examples:
  diolog bench append
  diolog bench append --time '1 min' /mnt/disk

Rows, in nanoseconds a call; below them, the ratios of some of them:
  clock only      the clock is read, and nothing logged: the baseline
  clock and copy  the clock is read, and a message and a record header are
                  copied to private memory: the tail that the machine causes
                  for any log
  append, 64 B    a message of 64 bytes is logged
  woken           the same, while a thread on the writer's CPU wakes 10,000
                  times a second
  watched         the same, and that thread asks for the log's figures
  num             a record of two integers and a double
  str             a record of an integer and a text of 12 bytes
  shared          append, into a ring in a file on tmpfs (left out without
                  /dev/shm)
  small pages     append, into a private ring on pages as small as those

The noise is the spread of the baseline between the repetitions.";

pub(super) const BENCH_SUSTAINED: &str = "Examples:
  diolog bench sustained
  diolog bench sustained --time '1 min' /mnt/disk";

pub(super) const BENCH_DISK: &str = "Examples:
  diolog bench disk /mnt/disk
  diolog bench disk --total-bytes '4 GiB' --block-bytes '1 MiB' --blocks-in-flight 8 /mnt/disk
  diolog bench disk --flush-each --message-bytes 64 /mnt/disk
  diolog bench disk --time '1 min' --rate 100000 --csv seconds.csv /mnt/disk";

pub(super) const BENCH_LOAD: &str = "Examples:
  diolog bench load                     4 threads, together 10,000 messages of 200 bytes a second
  diolog bench load --threads 100 --rate 1000 --message-bytes 300KiB --time '30 s' /mnt/disk
  diolog bench load --message-bytes '64:90, 1KiB..4KiB:9, 300KiB:1' --csv seconds.csv
  diolog bench load --rate '10%, 50%, 90%' --threads 2 /mnt/disk
  diolog bench load --rate max --overflow block /mnt/disk

Two times of an append are shown: from the moment when its message was due, so that a message that an earlier append \
delayed counts in full; and of the call alone. With --rate max no message has a due time.

Exit status: that of `diolog verify`, or 2 if the messages in the files, and those that retention removed, are not the \
messages that were accepted.
  0    clean
  1    unconfirmed: the log has no clean end
  2    records are lost
  3    the load could not be run
  4    intact, and messages were dropped (0 with --allow-drops)
  64   invalid command line";

pub(super) const COMPLETIONS: &str = "Examples:
  diolog completions bash > ~/.local/share/bash-completion/completions/diolog
  diolog completions zsh > ~/.zfunc/_diolog
  diolog completions fish > ~/.config/fish/completions/diolog.fish";

pub(super) const MAN: &str = "Examples:
  diolog man ~/.local/share/man/man1 && man diolog-cat";
