//go:build !linux

package shopfile

import (
	"errors"
	"os"
)

func openUnnamed(string, string) (*os.File, error) { return nil, errors.ErrUnsupported }

func nameFile(*os.File, string) error { return errors.ErrUnsupported }
