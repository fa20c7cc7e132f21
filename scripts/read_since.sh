#!/usr/bin/env -S bash -u -e -o pipefail
# How much of a log of more than 1 GiB does a reader read for the records of its last hundredth?
#
# At most a fiftieth of its bytes, by the reader's count and by the system's. The test compares every record that is read. It
# is not among the ordinary tests, because it writes more than 1 GiB.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec cargo test --release --features unstable --test blocks_of_other_times_are_not_read -- --ignored --nocapture
