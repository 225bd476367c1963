// Package megabinary carries what the program needs wherever it is copied to.
package megabinary

import _ "embed"

//go:embed pipeline.yaml
var pipeline string

// Pipeline returns the default pipeline.yaml.
func Pipeline() string { return pipeline }

//go:embed docs/execmap.schema.json
var execMapSchema string

// ExecMapSchema returns the JSON schema of exec maps.
func ExecMapSchema() string { return execMapSchema }
