//go:build tools

// Package tools pins what is built from here: see testbed/src/tools.
package tools

import _ "github.com/rhysd/actionlint/cmd/actionlint"
