#!/usr/bin/env bash
# Makes a broken copy of hooklab's twin in DIR: broken.sh DIR. In it a packet for a pod of
# the node loses two of its TTL instead of one. Needs clang.
set -euo pipefail
dir=${1:?usage: broken.sh DIR}
mkdir -p "$dir"
cp -r "$(dirname "$0")/../../bpf" "$dir/src"
sed -i 's/ip4->ttl = ttl - 1;/ip4->ttl = ttl - 2;/' "$dir/src/lib/l3.h"
for o in lxc host overlay; do
	(cd "$dir/src" && clang -target bpfel -mcpu=v3 -O2 -g -fno-strict-aliasing -c "bpf_$o.c" -o "../bpf_$o.o")
done
rm -r "$dir/src"
