package serve_test

import (
	"fmt"
	"net/http/httptest"

	"github.com/asterism-ssl/asterism/core/serve"
)

// What a foreign web page has a browser ask is refused before anything is looked at.
func ExampleServer_Handler() {
	h := (&serve.Server{Run: "efigi-1a2b3c4d"}).Handler()
	for _, host := range []string{"127.0.0.1:8765", "evil.example"} {
		r := httptest.NewRequest("GET", "/openapi.json", nil)
		r.Host = host
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		fmt.Println(host, answer.Code)
	}
	// Output:
	// 127.0.0.1:8765 200
	// evil.example 403
}
