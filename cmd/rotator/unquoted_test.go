package main

import (
	"bytes"
	"io"
	"log"
	"testing"
)

func TestTheStandardLoggerQuotesNoAnswer(t *testing.T) {
	t.Parallel()
	var shown bytes.Buffer
	l := log.New(unquoted{&shown}, "", 0)
	// As net/http writes it (persistConn.readLoopPeekFailLocked).
	l.Printf("Unsolicited response received on idle HTTP channel starting with %q; err=%v", `{"access_token":"planted"}`, io.EOF)
	l.Print("anything else")
	if got, want := shown.String(), "Unsolicited response received on idle HTTP channel\nanything else\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
