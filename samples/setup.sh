# SPDX-License-Identifier: MIT
# Set-up shared by samples/quickstart.sh and tests/run.sh: packages, build, ONNX Runtime.
# Sourced with the project's root as current folder; every step is quick the second time.

# Debian packages; README.md says what each is for.
build_packages='gcc libc6-dev pkg-config meson ninja-build
    libprotobuf-c-dev protobuf-c-compiler zlib1g-dev libopenblas-dev liblapacke-dev
    libturbojpeg0-dev libpng-dev libjansson-dev libexpat1-dev libcairo2-dev nettle-dev
    libcmocka-dev'
test_packages='g++ cmake'
python_packages='python3 python3-venv python3-dev'
node_packages='nodejs npm'

die() {
    echo "setup: $*" >&2
    exit 1
}

# Prints those of the named packages that are not installed.
missing_packages() {
    for package in "$@"; do
        case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
        *' installed') ;;
        *) echo "$package" ;;
        esac
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "root is needed for: $*"
    fi
}

# Installs what is missing with apt; elsewhere the user must have done so.
install_packages() {
    command -v dpkg-query >/dev/null || return 0
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    echo "setup: installing" $missing >&2
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get -qq update >&2 || true # an old list may still do
    as_root apt-get -qq install -y --no-install-recommends $missing >/dev/null ||
        die "could not install:" $missing
}

# Configures and builds into build/, in silence unless something fails.
build_lbw() {
    install_packages $build_packages
    if [ ! -f build/build.ninja ]; then
        mkdir -p build
        meson setup build >build/setup.log 2>&1 || {
            cat build/setup.log >&2
            die 'could not configure'
        }
    fi
    ninja -C build >build/build.log 2>&1 || {
        tail -n 60 build/build.log >&2
        die 'could not build'
    }
}

# Installs Python packages into build/ort-venv, those that do not import yet: NAME or NAME=IMPORT.
install_python() {
    (install_packages $python_packages) || return 1
    [ -x build/ort-venv/bin/python ] || python3 -m venv build/ort-venv || return 1
    wanted=
    for package in "$@"; do
        build/ort-venv/bin/python -c "import importlib.util as u, sys
sys.exit(u.find_spec('${package#*=}') is None)" || wanted="$wanted ${package%=*}"
    done
    [ -z "$wanted" ] && return 0
    echo "setup: installing$wanted into build/ort-venv" >&2
    build/ort-venv/bin/python -m pip install -q --disable-pip-version-check $wanted >&2
}

have_onnxruntime() {
    [ -n "${LBW_ORT:-}" ] && return 0
    ldconfig=$(command -v ldconfig || echo /sbin/ldconfig)
    "$ldconfig" -p 2>/dev/null | grep -q libonnxruntime.so && return 0
    for library in build/ort-venv/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so* \
        build/ort-npm/node_modules/onnxruntime-node/bin/napi-v*/linux/*/libonnxruntime.so*; do
        [ -e "$library" ] && return 0
    done
    return 1
}

# The system's library, else the Python wheel, else the npm package. lbw looks where this puts it.
get_onnxruntime() {
    have_onnxruntime && return 0
    install_python onnxruntime && have_onnxruntime && return 0
    echo 'setup: no Python wheel of ONNX Runtime, trying npm' >&2
    command -v npm >/dev/null || install_packages $node_packages
    npm install --silent --ignore-scripts --prefix build/ort-npm onnxruntime-node >/dev/null &&
        have_onnxruntime && return 0
    die 'no ONNX Runtime to be had; set LBW_ORT to libonnxruntime.so'
}
