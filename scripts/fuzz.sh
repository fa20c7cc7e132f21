#!/usr/bin/env -S bash -u -e -o pipefail
# Fuzzes the code that reads bytes from outside, one target after the other. The compiler's instrumentation needs no nightly toolchain:
# RUSTC_BOOTSTRAP makes the stable one accept the unstable flag. (`cargo fuzz run TARGET` in fuzz/ works too.)

# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly USAGE='SECONDS [TARGET...]
Fuzzes each target (all by default) for so many seconds, beginning with tests/corpus. An input that fails is kept in
fuzz/artifacts/TARGET, and the target goes on for the rest of its time. New inputs are kept in fuzz/corpus/TARGET. At the
end, the script lists the inputs that have failed. Exit status: 0, or 1 if one has.'

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
# fuzz TARGET SECONDS: fuzzes it until an input fails, or for so many seconds. Its output is in the scratch directory.
fuzz() {
    "$CARGO_TARGET_DIR/$triple/release/$1" -max_total_time="$2" -rss_limit_mb=2048 -malloc_limit_mb=64 -timeout=20 \
        -max_len=65536 -print_final_stats=1 -artifact_prefix="fuzz/artifacts/$1/" \
        "fuzz/corpus/$1" "tests/corpus/$1" 2>"$scratch/$1"
}

findings=()
printf '| target | seconds | inputs tried | inputs kept | found |\n|---|---|---|---|---|\n'
for target in "${targets[@]}"; do
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target" "tests/corpus/$target"
    output=$scratch/$target tried=0 found=0 end=$((SECONDS + seconds))
    # 0 seconds would have no end.
    while left=$((end - SECONDS)) && [ "$left" -gt 0 ]; do
        status=0
        fuzz "$target" "$left" || status=$?
        units=$(sed -n 's/^stat::number_of_executed_units: *//p' "$output")
        tried=$((tried + ${units:-0}))
        [ "$status" -ne 0 ] || break
        tail -n 30 "$output" >&2
        found=$((found + 1))
        input=$(sed -n 's/.*Test unit written to //p' "$output" | tail -n 1)
        findings+=("${input:-$target ended with status $status, and no input was kept}")
        # If an input that each run begins with has failed, or the target does not run at all, so will the next one.
        if [ -z "$input" ] || ! grep -q INITED "$output"; then
            say "$target cannot go on after this: $left of its $seconds seconds are left"
            break
        fi
    done
    kept=$(find "fuzz/corpus/$target" -type f | wc -l)
    printf '| %s | %s | %s | %s | %s |\n' "$target" "$seconds" "$tried" "$kept" "$found"
done
[ ${#findings[@]} -gt 0 ] || exit 0
say "inputs that failed:"
printf '%s\n' "${findings[@]}" | sort -u >&2
exit 1
