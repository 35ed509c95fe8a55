package protocol

import (
	_ "embed"
	"strings"
)

// contract is the text of the plugin contract.
//
//go:embed CONTRACT.md
var contract string

// Paragraph gives a paragraph of the contract by its number, "3.4", without the number and as one line; nothing where
// there is none.
func Paragraph(number string) string {
	for paragraph := range strings.SplitSeq(contract, "\n\n") {
		if text, ok := strings.CutPrefix(strings.TrimSpace(paragraph), number+" "); ok {
			return strings.Join(strings.Fields(text), " ")
		}
	}
	return ""
}
