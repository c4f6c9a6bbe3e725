#!/usr/bin/env bash
# Builds, shows and tests caddy-sms-otp. Needs Go, and nothing else installed
# beforehand; `./xcaddy.sh -h` lists the commands.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

module=github.com/caddy-sms-otp/caddy-sms-otp
tools=.ci/tools.mod
# Left out of version control: logs, the emulator, the demo's state.
scratch=.build
demo=$scratch/demo

# Where Caddyfile.example serves, where it finds the gateway, and who may enter.
site_port=8080
emulator_port=8024
demo_user=alice
demo_password=demo

usage() {
  cat <<'EOF'
usage: ./xcaddy.sh [command]

  build             build ./caddy with the sms_otp module (this is the default)
  demo              build, then run the gateway emulator and Caddy with
                    Caddyfile.example; Ctrl-C ends both
  emulator [flags]  run the gateway emulator alone:
                    --listen 127.0.0.1:8024  --devices 10403,10404
  test              install what the tests need and run all of them;
                    a test that is skipped fails the run
EOF
}

say() { printf '%s\n' "$*" >&2; }

die() {
  say "xcaddy.sh: $*"
  exit 1
}

need_go() {
  command -v go >/dev/null ||
    die "Go is not installed; get it from https://go.dev/dl/"
  local complaint
  complaint=$(go list -m 2>&1 >/dev/null) ||
    die "Go $(sed -n 's/^go //p' go.mod) or newer is needed, this is $(go env GOVERSION): $complaint"
  mkdir -p "$scratch"
}

# ---------------------------------------------------------------- build

build() {
  local version
  version=$(sed -n 's|^// caddy \(v[0-9][^ ]*\)$|\1|p' "$tools")
  [[ -n $version ]] || die "$tools has no line like '// caddy v2.0.0' that says which Caddy to build"

  say "Building Caddy $version with $module (minutes the first time, then seconds)"
  rm -f "$scratch/caddy"
  run_xcaddy "$version" >"$scratch/xcaddy.log" 2>&1 </dev/null || {
    tail -n 20 "$scratch/xcaddy.log" >&2
    die "xcaddy failed; the last it said is above, all of it in $scratch/xcaddy.log"
  }
  check_binary "$scratch/caddy" "$version"
  mv "$scratch/caddy" caddy
  ./caddy version
  list_modules ./caddy
}

# xcaddy asks for the versions of every path that could hold the package, and
# takes only "not found" for a no. A proxy that says "forbidden" for a path it
# does not know would end the build, so the local module cache has the last
# word: what it lacks it reports as not found.
run_xcaddy() {
  local proxies
  proxies=$(go env GOPROXY)
  GOPROXY="${proxies%%[,|]*}|file://$(go env GOMODCACHE)/cache/download" \
    go tool -modfile="$tools" xcaddy build "$1" \
    --with "$module/caddymodule" --replace "$module=." --output "$scratch/caddy"
}

list_modules() { "$1" list-modules | grep sms_otp; }

# xcaddy takes a newer Caddy than the one asked for where a go.mod wants it,
# and says nothing.
check_binary() {
  local built modules
  built=$("$1" version)
  [[ ${built%% *} == "$2" ]] ||
    die "asked for Caddy $2, got ${built%% *}: go.mod or a dependency requires it. Change the version in $tools, or the requirement"
  modules=$(list_modules "$1" || true)
  local wanted
  for wanted in sms_otp http.handlers.sms_otp; do
    grep -qx "$wanted" <<<"$modules" ||
      die "the build has no module $wanted: is it registered in the init of a file in caddymodule/?"
  done
}

# ------------------------------------------------------- demo, emulator

build_emulator() { go build -buildvcs=false -o "$scratch/emulator" ./test/emulator; }

emulator() {
  build_emulator
  exec "$scratch/emulator" "$@"
}

# Bash connects without any tool that might not be installed.
port_is_taken() { (exec 3<>"/dev/tcp/localhost/$1") 2>/dev/null; }

need_port() {
  ! port_is_taken "$1" ||
    die "port $1 is taken, and the demo needs it for $2. End what listens there (\`ss -ltnp\` names it) and try again"
}

# A HEAD request never costs a message.
answers() {
  (
    exec 3<>"/dev/tcp/localhost/$1"
    printf 'HEAD / HTTP/1.1\r\nHost: localhost:%s\r\nConnection: close\r\n\r\n' "$1" >&3
    read -r -t 5 status <&3
    [[ $status == HTTP/1.* ]]
  ) 2>/dev/null
}

demo() {
  heed_interrupts
  need_ports
  build
  build_emulator
  rm -rf "$demo"
  mkdir -p "$demo"
  trap end_demo EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  start emulator "$scratch/emulator" --listen "127.0.0.1:$emulator_port"
  # Nothing of the user's own Caddy is read or written, no real gateway is used.
  start caddy env -u SMSGATEWAY24_URL SMSGATEWAY24_TOKEN=demo \
    XDG_DATA_HOME="$PWD/$demo/data" XDG_CONFIG_HOME="$PWD/$demo/config" \
    ./caddy run --config Caddyfile.example --adapter caddyfile
  local patience=200
  until answers "$emulator_port" && answers "$site_port"; do
    watch_demo
    ((patience-- > 0)) || die "the demo runs but does not answer; see the logs in $demo"
  done
  show_addresses
  while true; do
    watch_demo
  done
}

# A script that runs the demo with & has it start with SIGINT ignored, which
# bash cannot undo for itself. Where env cannot either, SIGTERM ends the demo.
heed_interrupts() {
  if [[ $(trap -p INT) == "trap -- ''"* ]] && env --default-signal=INT true 2>/dev/null; then
    exec env --default-signal=INT ./xcaddy.sh demo
  fi
}

need_ports() {
  need_port "$site_port" "the protected site"
  need_port "$emulator_port" "the gateway emulator"
  [[ -n ${CADDY_ADMIN:-} ]] || ! port_is_taken 2019 ||
    die "port 2019 is taken, perhaps by another Caddy's admin endpoint. Give the demo one of its own: CADDY_ADMIN=localhost:2020 ./xcaddy.sh demo"
}

# start NAME COMMAND...
start() {
  local name=$1
  shift
  "$@" >"$demo/$name.log" 2>&1 </dev/null &
  echo $! >"$demo/$name.pid"
}

runs() { kill -0 "$(<"$demo/$1.pid")" 2>/dev/null; }

# Waits a moment; ends the demo when one of its two processes is gone.
watch_demo() {
  local name
  sleep 0.3
  for name in emulator caddy; do
    if ! runs "$name"; then
      tail -n 15 "$demo/$name.log" >&2
      die "the demo's $name has ended; the last it said is above and in $demo/$name.log"
    fi
  done
}

show_addresses() {
  cat <<EOF

  the protected site   http://localhost:$site_port   (user $demo_user, password $demo_password)
  the phone's inbox    http://localhost:$emulator_port

Logs are in $demo. Ctrl-C ends the demo.
EOF
}

# Caddy would wait for open requests as long as they last: it gets five seconds.
end_demo() {
  trap '' INT TERM HUP
  local file tries=0
  for file in "$demo"/*.pid; do
    kill "$(<"$file")" 2>/dev/null || true
  done
  while { runs emulator || runs caddy; } && ((tries++ < 50)); do sleep 0.1; done
  for file in "$demo"/*.pid; do
    kill -KILL "$(<"$file")" 2>/dev/null || true
  done
  wait
}

# ----------------------------------------------------------------- test

run_tests() {
  provide gcc gcc cc clang # the race detector links with C
  provide chromium chromium chromium-browser google-chrome
  provide default-jre-headless java # the HTML checker
  provide npm npm # brings the page's checkers
  npm ci --prefix test/page --ignore-scripts --no-audit --no-fund --silent >&2 ||
    die "the page's checkers could not be installed; try: npm ci --prefix test/page"
  go build -buildvcs=false -o "$scratch/runner" ./test/runner
  GOBIN="$PWD/$scratch/bin" go install -modfile="$tools" tool
  PATH="$PWD/$scratch/bin:$PATH" exec "$scratch/runner"
}

# provide PACKAGE COMMAND...: installs the package unless a command is there.
provide() {
  local package=$1 name
  shift
  for name in "$@"; do
    ! command -v "$name" >/dev/null || return 0
  done
  say "Installing $package, which the tests need"
  install_package "$package" || {
    say "xcaddy.sh: the tests need $package, and it could not be installed from here. As root: apt-get install $package"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
  }
}

install_package() {
  as_root apt-get update -qq >&2 &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$1" >&2
}

as_root() {
  if [[ $(id -u) == 0 ]]; then
    "$@"
  else
    sudo -n "$@"
  fi
}

# ------------------------------------------------------------- commands

command=${1:-build}
[[ $# == 0 ]] || shift
case $command in
-h | --help | help)
  usage
  exit
  ;;
build | demo | test)
  [[ $# == 0 ]] || {
    usage >&2
    die "$command takes no arguments"
  }
  ;;
emulator) ;;
*)
  usage >&2
  die "unknown command \"$command\""
  ;;
esac

need_go
case $command in
test) run_tests ;;
*) "$command" "$@" ;;
esac
