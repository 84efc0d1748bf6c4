package main

import (
	"strings"
	"testing"
)

// TestCompletion asks as a shell does: the words of the line, the last of which
// is being typed. The answer ends with what the shell may add by itself: 0 files,
// 4 nothing, 16 folders.
func TestCompletion(t *testing.T) {
	t.Parallel()
	tests := []struct{ line, want string }{
		{"secret add --file ", ":0"},
		{"rotation arm --file ", ":0"},
		{"shop import ", ":0"},
		{"shop import a.csv ", ":4"},
		{"shop export --output ", ":0"},
		{"shop export -o ", ":0"},
		{"app set --deliver-key-file ", ":0"},
		{"app set --deliver-key-new ", ":0"},
		{"keyring create ", ":0"},
		{"keyring show ", ":0"},
		{"keyring verify ", ":0"},
		{"journal verify ", ":0"},
		{"worker --keyring ", ":0"},
		{"worker --data-dir ", ":16"},
		{"shop show ", ":4"},
		{"rotation waive ", ":4"},
		{"rotation status --run ", ":4"},
		{"help key", "keyring\n:4"},
		{"help _", ":4"},
		{"help env", "environment\n:4"},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			t.Parallel()
			words := strings.Split(tt.line, " ")
			got := runOnce(t.Context(), nil, "", append([]string{"__completeNoDesc"}, words...)...)
			if answer := strings.TrimSpace(got.stdout); got.code != exitDone || answer != tt.want {
				t.Errorf("exit code %d, answer %q, want %q", got.code, answer, tt.want)
			}
		})
	}
}
