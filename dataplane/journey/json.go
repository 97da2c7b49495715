package journey

import (
	"encoding/json"
	"io"
)

// WriteJSON writes a journey as one JSON object, indented; docs/trace-json.md describes
// it.
func (j *Journey) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(j)
}
