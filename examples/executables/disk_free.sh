#!/usr/bin/env bash
# disks.free: a function in bash. The contract: docs/executables.md.
set -Eeuo pipefail
# A command that fails is an error, not a failed test: its exit code must not be taken for the answer.
trap 'exit 2' ERR

# One value of the input, which is small and flat here. With jq it is: jq -r .path "$RFX_INPUT"
field() { sed -n 's/.*"'"$1"'": *"\{0,1\}\([^",}]*\).*/\1/p' "$RFX_INPUT"; }

path=$(field path)
least=$(field least)

if ! df -P "$path" > "$TMPDIR/df" 2> /dev/null; then
    echo "there is no file system at $path" >&2
    exit 77
fi
free=$(awk 'NR == 2 { printf "%.0f", $4 * 1024 }' "$TMPDIR/df")

printf '{"free": %d}' "$free" > "$RFX_OUTPUT"
cp "$TMPDIR/df" "$RFX_ARTIFACTS/df.txt"

if [ "$free" -lt "${least:-0}" ]; then
    echo "$path has $free bytes free, $least are wanted" >&2
    exit 1
fi
