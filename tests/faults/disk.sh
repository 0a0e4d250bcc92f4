#!/bin/sh
# SPDX-License-Identifier: MIT
# A disk that is full and one that is read-only, for real: small file systems in a namespace of
# their own. What is there stays as it is, nothing is added, and one line says why.
set -u
if [ $# = 0 ]; then
    place=$(mktemp -d)
    code=77
    # root needs no more than a namespace of mounts; some kernels let every user have one
    for way in 'unshare -m' 'unshare -rm'; do
        $way mount -t tmpfs none "$place" 2>/dev/null || continue
        $way sh "$0" "$place"
        code=$?
        break
    done
    rmdir "$place"
    [ $code != 77 ] || echo 'skipped: no file system can be mounted here'
    exit $code
fi
PATH=$LBW_BUILD_ROOT:$LBW_BUILD_ROOT/tests:$PATH
mount -t tmpfs none "$1" && cd "$1" || exit 1

failed=0 num=0

die() {
    echo "$*"
    failed=1
}

# fails WANTED COMMAND…: exit code 1, one line that holds WANTED, and disk/ as it was
fails() {
    wanted=$1
    shift
    "$@" 2>stderr && die "$*: done"
    [ "$(wc -l <stderr)" = 1 ] && grep -q "$wanted" stderr || die "$*: $(cat stderr)"
    [ "$(ls -A disk)" = "$listing" ] || die "$*: left $(ls -A disk)"
    cmp -s disk/one.onnx one.onnx && cmp -s disk/two.onnx two.onnx &&
        cmp -s disk/two.data two.data || die "$*: the old output has changed"
    num=$((num + 1))
}

make_model large:1 float.onnx
lbw quantize float.onnx -o one.onnx --calib none -q 2>/dev/null
lbw expand one.onnx -o two.onnx --external two.data -q
mkdir disk
size=$(($(cat one.onnx two.onnx two.data | wc -c) / 1024))

# Room for half of another copy, less and less, none.
for room in 500 100 12 4 0; do
    mount -t tmpfs -o size=$((size + room + 16))k none disk
    cp one.onnx two.onnx two.data disk
    listing=$(ls -A disk)
    [ $room != 0 ] || { dd if=/dev/zero of=disk/rest bs=4096 2>/dev/null; listing=$(ls -A disk); }
    for output in disk/new.onnx disk/one.onnx disk/two.onnx; do
        fails 'cannot write: No space left' lbw expand one.onnx -o $output -q
    done
    fails 'cannot write: No space left' lbw expand one.onnx -o disk/two.onnx \
        --external two.data -q
    fails 'cannot write: No space left' lbw expand one.onnx -o disk/new.onnx \
        --external new.data -q
    umount disk
done

mount -t tmpfs none disk
cp one.onnx two.onnx two.data disk
listing=$(ls -A disk)
mount -o remount,ro disk
for output in disk/new.onnx disk/one.onnx; do
    fails 'Read-only file system' lbw expand one.onnx -o $output -q
    fails 'Read-only file system' lbw expand one.onnx -o $output.gz -q
done
fails 'Read-only file system' lbw expand one.onnx -o disk/two.onnx --external two.data -q
echo "refused $num times"
exit $failed
