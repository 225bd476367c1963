package policy

import _ "embed"

//go:embed policy.schema.json
var schema string

// Schema is the JSON schema of policies.
func Schema() string { return schema }
