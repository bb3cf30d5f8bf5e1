#!/bin/sh
# Each event of the log is in the table of systemd/MONITORING.md, with its levels and fields, and no other.
set -eu
cd "$(dirname "$0")/../.."
exec python3 tests/style/monitoring.py systemd/MONITORING.md src hsm
