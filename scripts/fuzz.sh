#!/usr/bin/env -S bash -u -e -o pipefail
# Fuzzes the code that reads bytes from outside, one target after the other. The compiler's instrumentation needs no nightly toolchain:
# RUSTC_BOOTSTRAP makes the stable one accept the unstable flag. (`cargo fuzz run TARGET` in fuzz/ works too.)

# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly USAGE='SECONDS [TARGET...]
Fuzzes each target (all by default) for so many seconds, beginning with tests/corpus. Inputs that fail are kept in
fuzz/artifacts/TARGET, and new inputs in fuzz/corpus/TARGET. Exit status: 0, or 1 if an input failed.'

[ $# -ge 1 ] && [[ $1 =~ ^[1-9][0-9]*$ ]] || usage "$USAGE"
seconds=$1
shift
need cargo cargo
need c++ g++
enter_package
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(sed -n 's/^name = "\([a-z_]*\)"$/\1/p' fuzz/Cargo.toml)

make_scratch /dev/shm
triple=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address --cfg fuzzing -Ccodegen-units=1"
export CARGO_TARGET_DIR=$PWD/target/fuzz
export ASAN_OPTIONS=detect_leaks=0
export TMPDIR=$scratch
say "building the targets"
cargo build --quiet --release --manifest-path fuzz/Cargo.toml --target "$triple"
found=0
printf '| target | seconds | inputs tried | inputs kept | found |\n|---|---|---|---|---|\n'
for target in "${targets[@]}"; do
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target" "tests/corpus/$target"
    result=none
    "$CARGO_TARGET_DIR/$triple/release/$target" -max_total_time="$seconds" -rss_limit_mb=2048 -malloc_limit_mb=64 \
        -timeout=20 -max_len=65536 -print_final_stats=1 -artifact_prefix="fuzz/artifacts/$target/" \
        "fuzz/corpus/$target" "tests/corpus/$target" 2>"$scratch/$target" || result="see fuzz/artifacts/$target"
    [ "$result" = none ] || { found=1; tail -n 30 "$scratch/$target" >&2; }
    tried=$(sed -n 's/^stat::number_of_executed_units: *//p' "$scratch/$target")
    kept=$(find "fuzz/corpus/$target" -type f | wc -l)
    printf '| %s | %s | %s | %s | %s |\n' "$target" "$seconds" "${tried:-?}" "$kept" "$result"
done
exit "$found"
