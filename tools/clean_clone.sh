#!/usr/bin/env bash
# What a stranger sees: the last commit, cloned into an empty directory, with an empty home, must pass
# `make demo` and `make test`.  Arguments replace these two targets.
set -euo pipefail

repository=$(cd "$(dirname "$0")/.." && pwd)
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

git clone --quiet "$repository" "$directory/holdfast"
mkdir "$directory/home"
cd "$directory/holdfast"
echo "clone of $(git rev-parse --short HEAD) in $directory/holdfast"

targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(demo test)
for target in "${targets[@]}"; do
  echo "== make $target"
  env -i HOME="$directory/home" PATH="$PATH" LANG=C.UTF-8 TERM="${TERM:-dumb}" make "$target"
done

left=$(git status --porcelain)
[ -z "$left" ] || { printf 'left behind in the checkout:\n%s\n' "$left" >&2; exit 1; }
