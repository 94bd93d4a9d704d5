#!/bin/bash
# Starts the database with a key file that it accepts: its own, and readable by nobody else. A
# secret comes into a container with the owner and the mode that it has outside.
set -euo pipefail
install --mode=400 --owner=mongodb --group=mongodb /run/secrets/mongo-key /data/configdb/key
exec docker-entrypoint.sh mongod --replSet jobwire --keyFile /data/configdb/key --bind_ip_all "$@"
