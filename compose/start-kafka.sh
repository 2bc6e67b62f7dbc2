#!/bin/bash
# Formats the data folder at the first start, with the platform's user, then becomes the broker.
set -euo pipefail

/opt/kafka/bin/kafka-storage.sh format --ignore-formatted \
    --cluster-id "$CLUSTER_ID" \
    --config /etc/carepact/kafka.properties \
    --add-scram "SCRAM-SHA-512=[name=platform,password=$(cat /run/secrets/platform)]"
exec /opt/kafka/bin/kafka-server-start.sh /etc/carepact/kafka.properties
