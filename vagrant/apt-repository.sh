#!/usr/bin/env bash
# Adds the Salt Project's apt repository (onedir packages), as its install guide says.
# Needs root and the network, so no test runs it: keep it small.
set -euo pipefail

export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet --quiet
apt-get install --quiet --quiet --yes ca-certificates curl
install --directory --mode=755 /etc/apt/keyrings
curl -fsSL https://packages.broadcom.com/artifactory/api/security/keypair/SaltProjectKey/public \
    > /etc/apt/keyrings/salt-archive-keyring.pgp
curl -fsSL https://github.com/saltstack/salt-install-guide/releases/latest/download/salt.sources \
    > /etc/apt/sources.list.d/salt.sources
apt-get update --quiet --quiet
