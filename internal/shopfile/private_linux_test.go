package shopfile

import (
	"path/filepath"
	"testing"
)

// Tokens of an export that is killed are not left behind in clear.
func TestPrivateFileHasNoNameBeforeCommit(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	f := create(t, filepath.Join(folder, "shops.csv"), CreateOptions{}, "tokens")
	defer f.Close()
	if got := names(t, folder); got != "" {
		t.Errorf("folder holds %q", got)
	}
}
