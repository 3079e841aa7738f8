#!/bin/bash
# asterisk-root.sh [--where]: a real Asterisk 22 from Debian's next release, unpacked into a folder of its own.
#
# The host's packages and libc stay as they are: the packages are only downloaded and unpacked, and run through the folder's own
# dynamic loader. No mirror is named: the one this machine's apt already uses for Debian is asked. Prints the folder, which is
#   $PATCHBAY_CACHE/asterisk, or /var/cache/patchbay/asterisk for root, or ~/.cache/patchbay/asterisk for anyone else,
# readable by everybody, with MANIFEST.sha256 naming the exact packages. Needs no root and no package lists; several may run at once.
set -euo pipefail
SUITE=${PATCHBAY_ASTERISK_SUITE:-forky}
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
SYSTEM=/var/cache/patchbay
if [ -n "${PATCHBAY_CACHE:-}" ]; then CACHE=$PATCHBAY_CACHE
elif [ "$(id -u)" = 0 ] || [ -x $SYSTEM/asterisk/asterisk ]; then CACHE=$SYSTEM
else CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/patchbay; fi
ROOT=$CACHE/asterisk

works() { [ -x "$ROOT/asterisk" ] && "$ROOT/asterisk" -V >/dev/null 2>&1; }

if [ "${1:-}" = --where ] || works; then echo "$ROOT"; exit 0; fi

umask 022
mkdir -p "$CACHE"
exec 9>"$CACHE/.asterisk.lock"
flock 9
if works; then echo "$ROOT"; exit 0; fi   # another one has just made it

echo "setup: Asterisk from Debian $SUITE into $ROOT (about 100 MB to download, 200 MB on disk)" >&2
W=$(mktemp -d "${TMPDIR:-/tmp}/patchbay-asterisk.XXXXXX")
NEW=$ROOT.new
trap 'rm -rf "$W" "$NEW"' EXIT
chmod 755 "$W"
mkdir -p "$W"/{lists/partial,host/partial,cache/archives/partial,state}
: >"$W/status"
ARCH=$(dpkg --print-architecture)
TRIPLET=$(uname -m)-linux-gnu
case $ARCH in
  amd64) LOADER=ld-linux-x86-64.so.2 ;;
  arm64) LOADER=ld-linux-aarch64.so.1 ;;
  *) echo "setup: no recipe for Asterisk on $ARCH" >&2; exit 1 ;;
esac
PRIVATE=(-q -o Dir::State="$W/state" -o Dir::State::lists="$W/lists" -o Dir::Cache="$W/cache" -o APT::Sandbox::User="$(id -un)"
         -o Acquire::Languages=none -o Acquire::Retries=3)

debian_mirror() {  # $@: apt options; the URI this machine's apt uses for its own Debian main
  # shellcheck disable=SC2016
  apt-get "$@" indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' \
    "Codename: $(. /etc/os-release; echo "$VERSION_CODENAME")" 2>/dev/null | sort -u | head -1
}

MIRROR=$(debian_mirror)
if [ -z "$MIRROR" ]; then   # no package lists on this machine yet: read them into the private folder, with the machine's own sources
  apt-get "${PRIVATE[@]}" -o Dir::State::lists="$W/host" update >"$W/log" 2>&1 || true
  MIRROR=$(debian_mirror "${PRIVATE[@]}" -o Dir::State::lists="$W/host")
fi
[ -n "$MIRROR" ] || { echo "setup: this machine's apt knows no Debian main; see its sources.list" >&2; tail -5 "$W/log" >&2 || true; exit 1; }

echo "deb [signed-by=$KEYRING arch=$ARCH] $MIRROR $SUITE main" >"$W/sources.list"
PRIVATE+=(-o Dir::Etc::sourcelist="$W/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null
          -o Dir::Etc::preferences=/dev/null -o Dir::State::status="$W/status" -o APT::Install-Recommends=false)
# A Release file past its date only says that this machine's clock or its mirror is behind; the signature is checked all the same.
PRIVATE+=(-o Acquire::Check-Valid-Until=false)
apt-get "${PRIVATE[@]}" update >"$W/log" 2>&1 || { tail -20 "$W/log" >&2; exit 1; }
apt-get "${PRIVATE[@]}" -y --download-only install asterisk asterisk-core-sounds-en-wav >"$W/log" 2>&1 || { tail -20 "$W/log" >&2; exit 1; }

rm -rf "$NEW"
mkdir -p "$NEW"
for deb in "$W"/cache/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$NEW" --no-same-owner --keep-directory-symlink \
    --exclude=./usr/share/{doc,man,locale,info,perl,zoneinfo,lintian} --exclude='./usr/lib/*/perl*' --exclude='./usr/lib/*/libperl*'
done
(cd "$W/cache/archives" && sha256sum -- *.deb) >"$NEW/MANIFEST.sha256"
cat >"$NEW/asterisk" <<EOF
#!/bin/sh
# Runs this folder's Asterisk with this folder's libc; programs that it starts get the host's.
P=\$(dirname "\$(readlink -f "\$0")"); L=\$P/usr/lib/$TRIPLET
exec "\$L/$LOADER" --argv0 asterisk --library-path "\$L:\$L/pulseaudio" "\$P/usr/sbin/asterisk" "\$@"
EOF
chmod 755 "$NEW/asterisk"
ln -sfn en_US_f_Allison "$NEW/usr/share/asterisk/sounds/en"   # Debian does this when the package is configured
chmod -R a+rX "$NEW"
"$NEW/asterisk" -V >/dev/null
rm -rf "$ROOT"
mv "$NEW" "$ROOT"
echo "$ROOT"
