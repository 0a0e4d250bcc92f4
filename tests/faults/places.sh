#!/bin/sh
# SPDX-License-Identifier: MIT
# The command where its output cannot go, and killed at growing delays: a whole file or none, what
# is there stays as it is, and one line says why.
set -u
PATH=$LBW_BUILD_ROOT:$LBW_BUILD_ROOT/tests:$PATH
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

die() {
    echo "$*"
    failed=1
}

digest() {
    lbw inspect --digest "$1" | cut -d' ' -f1
}

# fails WANTED COMMAND…: exit code 1 and one line that holds WANTED
fails() {
    wanted=$1
    shift
    "$@" 2>stderr
    code=$?
    [ $code = 1 ] || die "$*: exit code $code"
    [ "$(wc -l <stderr)" = 1 ] || die "$*: $(cat stderr)"
    grep -q "$wanted" stderr || die "$*: $(cat stderr)"
}

# hidden: temporary files left behind
hidden() {
    find . -name '.lbw-*' | wc -l
}

make_model large:4 float.onnx
lbw quantize float.onnx -o in.onnx --calib none -q 2>/dev/null
lbw expand in.onnx -o plain.onnx -q
lbw expand in.onnx -o out.onnx --external out.data -q
want=$(digest in.onnx)
cp out.onnx old.onnx && cp out.data old.data

unchanged() {
    cmp -s out.onnx old.onnx && cmp -s out.data old.data || die "$*: the old output has changed"
    [ "$(hidden)" = 0 ] || die "$*: left $(find . -name '.lbw-*')"
}

# No space: a limit on the size of files, and a device that is always full.
(
    ulimit -f 1000 # blocks of 512 or 1024 bytes
    fails 'cannot write: File too large' lbw expand in.onnx -o out.onnx -q
    fails 'cannot write: File too large' lbw expand in.onnx -o new.onnx -q
    fails 'cannot write: File too large' lbw expand in.onnx -o out.onnx --external out.data -q
    fails 'cannot write: File too large' lbw expand in.onnx -o out.onnx.gz -q
    exit $failed
) || failed=1
[ ! -e new.onnx ] && [ ! -e out.onnx.gz ] || die 'half an output'
unchanged 'file too large'
if [ -c /dev/full ]; then
    fails 'cannot write: No space left' lbw expand in.onnx -o /dev/full -q
    ln -s /dev/full full
    fails 'cannot write: No space left' lbw expand in.onnx -o full -q
fi

# A folder that cannot be written to. Permissions do not bind root, who gets a file system that
# is read-only to everybody.
mkdir locked && cp in.onnx locked/out.onnx && chmod a-w locked
if [ "$(id -u)" != 0 ]; then
    fails 'Permission denied' lbw expand in.onnx -o locked/out.onnx -q
    fails 'Permission denied' lbw expand in.onnx -o locked/new.onnx -q
    fails 'Permission denied' lbw expand in.onnx -o locked/out.onnx --external d -q
    [ "$(ls -A locked)" = out.onnx ] && cmp -s in.onnx locked/out.onnx || die 'locked folder'
elif [ -d /sys/kernel ]; then
    fails 'cannot write' lbw expand in.onnx -o /sys/kernel/lbw.onnx -q
    echo 'as root: a folder without permission is not tried'
fi
chmod u+w locked

# Input and output are the same file: by name, by another way to it, by a link.
for way in same.onnx ./same.onnx again/same.onnx; do
    cp in.onnx same.onnx
    [ -e again ] || ln -s . again
    lbw expand $way -o same.onnx -q || die "$way"
    cmp same.onnx plain.onnx || die "$way: not what it should be"
done
cp in.onnx same.onnx && ln -s same.onnx soft.onnx && ln same.onnx hard.onnx
lbw expand same.onnx -o soft.onnx -q && cmp soft.onnx plain.onnx || die 'onto a symbolic link'
cmp same.onnx in.onnx || die 'what a symbolic link led to has changed'
lbw expand same.onnx -o hard.onnx -q && cmp hard.onnx plain.onnx || die 'onto a hard link'
cmp same.onnx in.onnx || die 'the other name of a hard link has changed'
lbw expand - -o same.onnx -q <same.onnx && cmp same.onnx plain.onnx || die 'from standard input'
# In two files, the data of the input being that of the output.
lbw convert out.onnx -o out.onnx --external out.data -q && [ "$(digest out.onnx)" = "$want" ] ||
    die 'two files in place'
[ "$(stat -c %s out.data)" -lt "$(stat -c %s old.data)" ] || die 'the data stayed'
ln out.data hard.data && ln -s out.data soft.data
for name in hard.data soft.data; do # other names: the input keeps what it has
    lbw expand out.onnx -o other.onnx --external $name -q || die "$name"
    [ "$(digest other.onnx)" = "$want" ] && [ "$(digest out.onnx)" = "$want" ] || die $name
done

# Killed after longer and longer times until it is done before: the old output or the new one.
killed=0 whole=0 delay=0
while [ $whole -lt 2 ] && [ $delay -lt 1000 ]; do
    cp plain.onnx one.onnx && rm -f two.onnx two.data
    lbw convert in.onnx -o one.onnx -e dq -q &
    one=$!
    lbw convert in.onnx -o two.onnx -e dq --external two.data -q &
    two=$!
    sleep $((delay / 1000)).$(printf %03d $((delay % 1000)))
    kill -9 $one $two
    wait $one && whole=$((whole + 1)) || killed=$((killed + 1))
    wait $two && whole=$((whole + 1)) || killed=$((killed + 1))
    [ "$(digest one.onnx)" = "$want" ] || die "killed after $delay ms: one file"
    [ ! -e two.onnx ] || [ "$(digest two.onnx)" = "$want" ] || die "killed after $delay ms: two"
    delay=$((delay + delay / 2 + 4))
done 2>/dev/null
echo "killed $killed times, $whole times too late"
[ $killed -gt 0 ] || die "nothing was killed"

# The report and the state of a calibrated run, where there is a runtime to calibrate with.
make_model detector small.onnx
calibrated() {
    lbw quantize small.onnx --calib generated:2 --state "$@" -q 2>stderr
}
# the same as the process that is killed, not one that waits for it
killable() {
    exec lbw quantize small.onnx --calib generated:2 --state "$@" -q 2>stderr
}
if calibrated whole.state -o whole.onnx --report whole.json; then
    cp whole.json old.json
    for place in /dev/full /sys/kernel/lbw; do
        [ -e "${place%/*}" ] || continue
        calibrated whole.state -o full.onnx --report $place && die "report in $place"
        grep -q "$place: cannot write" stderr || die "report in $place: $(cat stderr)"
        calibrated $place -o none.onnx && die "state in $place"
        [ "$(wc -l <stderr)" = 1 ] && [ ! -e none.onnx ] || die "state in $place: $(cat stderr)"
    done
    (
        ulimit -f 1 # the report does not fit; the model is of no interest
        calibrated whole.state -o /dev/null --report whole.json
        grep -q 'whole.json: cannot write: File too large' stderr || die "$(cat stderr)"
        exit $failed
    ) || failed=1
    cmp whole.json old.json || die 'the old report has changed'
    killed=0 delay=20
    while [ $delay -lt 2000 ]; do
        rm -f part.onnx part.json
        killable part.state -o part.onnx --report part.json &
        sleep $((delay / 1000)).$(printf %03d $((delay % 1000)))
        kill -9 $! && killed=$((killed + 1))
        wait $! && delay=2000
        [ ! -e part.onnx ] || cmp part.onnx whole.onnx || die "killed after $delay ms: the model"
        [ ! -e part.json ] || [ "$(tail -n 1 part.json)" = '}' ] || die "half a report"
        delay=$((delay * 2))
    done 2>/dev/null
    calibrated part.state -o part.onnx || die "resumed: $(cat stderr)"
    cmp part.onnx whole.onnx || die 'resumed: not what it should be'
    echo "calibrating: killed $killed times, resumed"
else
    echo "no report and state tried: $(cat stderr)"
fi
exit $failed
