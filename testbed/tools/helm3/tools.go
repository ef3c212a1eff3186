//go:build tools

// Package tools pins what is built from here: see testbed/src/tools.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
