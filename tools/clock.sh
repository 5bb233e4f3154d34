#!/usr/bin/env bash
# Sets the clock of an emulated machine while guard runs there: forward, back, to 2037 and back again, with a restart of
# guard in between. Fails if an alert is lost or doubled, a pause does not end in time, a process is not killed, a
# limit does not hold, a capture lacks what it was taken for, or evidence goes. Takes two to four minutes.
#
#   tools/clock.sh [KERNEL]        # 6.12 unless given; tools/kernel.sh names them
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in -h | --help)
	sed -n '2,$ { /^#/!q; s/^# \{0,1\}//p }' "$0"
	exit 0
	;;
esac
mkdir -p .cache
CGO_ENABLED=0 go test -c -ldflags '-s -w' -o .cache/clock.test ./internal/cli
ROLLCAGE_TEST_CLOCK=1 nice tools/kernel.sh -t 1200 "${1:-6.12}" .cache/clock.test \
	-test.v -test.timeout 19m -test.run TestGuardHoldsWhenTheClockIsSet
