#!/usr/bin/env -S bash -u -e -o pipefail
# Kills a process that logs, at random moments, and compares its log with what it had been told. It runs
# tests/a_kill_at_any_moment_loses_nothing.rs with optimised code. The ordinary test makes 300 kills with private rings, 300
# with shared ones, and 300 with shared ones and a flight recorder; this script makes as many as you ask for.

# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly USAGE='KILLS [SEED]
Prints a table for private rings, one for shared rings, and one for shared rings with a flight recorder: kills, and
those that came while the process opened its log, of these those before its recovery had ended; of the others, those
between a call of rotate and the next segment, those while the file of a next segment was being prepared, and those
while the writer entered a segment, which held its header alone; then records read, records lost, twice and torn, and
seconds. A missing record counts as lost if it was durable (private rings), if it was accepted (shared rings), or if it
was among the last 100 that the flight recorder took of a thread. The kills begin with those of SEED (0 by default).
Exit status: 0 if nothing was lost, doubled or torn. Otherwise the script prints the seed and the place of the log.'

[ $# -ge 1 ] && [ $# -le 2 ] && [[ $1 =~ ^[1-9][0-9]*$ ]] && [[ ${2:-0} =~ ^[0-9]+$ ]] || usage "$USAGE"
need cargo cargo
enter_package
say "building"
cargo test --quiet --release --locked --test a_kill_at_any_moment_loses_nothing --no-run
say "$1 kills"
DIOLOG_KILLS=$1 DIOLOG_FIRST_SEED=${2:-0} \
    cargo test --quiet --release --locked --test a_kill_at_any_moment_loses_nothing -- --nocapture --test-threads 1
