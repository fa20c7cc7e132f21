#!/usr/bin/env -S bash -u -e -o pipefail
# Kills a process that logs, at random moments, as often as is asked for, and compares its log with what it had been told:
# tests/a_kill_at_any_moment_loses_nothing.rs, which makes 300 kills with private rings, 300 with shared ones and 300 with
# shared ones and a flight recorder, with optimised code and more of them.

# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly USAGE='KILLS [SEED]
Prints a table for private rings, one for shared ones, and one for shared ones with a flight recorder: kills, records
read, records lost, twice and torn, seconds. With private rings a record is lost if it was durable, with shared ones if
it was accepted, or if it is one of the last 100 that the flight recorder took of a thread. The first kills are those of
SEED (0 by default). Exit status: 0 if nothing was lost, doubled or torn; otherwise the seed and the place of the log
are shown.'

[ $# -ge 1 ] && [ $# -le 2 ] && [[ $1 =~ ^[1-9][0-9]*$ ]] && [[ ${2:-0} =~ ^[0-9]+$ ]] || usage "$USAGE"
need cargo cargo
enter_package
say "building"
cargo test --quiet --release --locked --test a_kill_at_any_moment_loses_nothing --no-run
say "$1 kills"
DIOLOG_KILLS=$1 DIOLOG_FIRST_SEED=${2:-0} \
    cargo test --quiet --release --locked --test a_kill_at_any_moment_loses_nothing -- --nocapture --test-threads 1
