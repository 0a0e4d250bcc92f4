#!/bin/sh
# SPDX-License-Identifier: MIT
# chroot.sh DIR PACKAGE.deb…: in a bare Debian below DIR (as debootstrap makes it; as root), installs
# the packages, runs the tests of this folder, purges the packages, and lists what they left behind.
set -eu
root=$1
shift
here=$(cd "$(dirname "$0")/../.." && pwd)
listing() {
    (cd "$root" && find . -xdev \( -path ./proc -o -path ./tmp -o -path ./var/lib/dpkg \
        -o -path ./var/lib/apt -o -path ./var/cache -o -path ./var/log \) -prune -o -print | sort)
}
in_root() {
    DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$root" "$@"
}
names=$(for deb; do basename "$deb" | cut -d_ -f1; done)
in_root apt-get -qq update
# what the packages depend on stays, and is not theirs
in_root apt-get -qq install -y --no-install-recommends gcc libc6-dev pkg-config cmake make \
    python3 >/dev/null 2>&1
rm -rf "$root/tmp/lbw"
mkdir -p "$root/tmp/lbw/debs" "$root/tmp/lbw/source/debian"
cp "$@" "$root/tmp/lbw/debs"
cp -r "$here/samples" "$root/tmp/lbw/source"
cp -r "$here/debian/tests" "$root/tmp/lbw/source/debian"
depends=$(in_root sh -c 'cd /tmp/lbw/debs && apt-get -qq install -s --no-install-recommends ./*.deb' |
    awk '/^Inst/ { print $2 }' | grep -vxF "$names" || true)
[ -z "$depends" ] ||
    in_root apt-get -qq install -y --no-install-recommends $depends >/dev/null 2>&1
listing >"$root/tmp/lbw/before"
in_root sh -c 'cd /tmp/lbw/debs && apt-get -qq install -y --no-install-recommends ./*.deb' >/dev/null 2>&1
for test in program development python; do
    echo "$test:"
    in_root sh -c "cd /tmp/lbw/source && sh debian/tests/$test"
done
in_root apt-get -qq purge -y $names >/dev/null 2>&1
listing >"$root/tmp/lbw/after"
diff "$root/tmp/lbw/before" "$root/tmp/lbw/after" && echo 'purged: nothing left behind'
rm -rf "$root/tmp/lbw"
