package main

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"
)

// readHidden reads a line from a terminal that echoes nothing meanwhile. The one
// of package term takes the end of the input (Ctrl-D, a terminal that is gone)
// for no input yet, and reads again without end.
func readHidden(fd int) (text []byte, err error) {
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	silent := *before
	silent.Lflag &^= unix.ECHO
	silent.Lflag |= unix.ICANON | unix.ISIG
	silent.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &silent); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unix.IoctlSetTermios(fd, unix.TCSETS, before)) }()
	buf := make([]byte, maxSecret+1) // a terminal gives one line at most
	for len(text) <= maxSecret {
		n, err := unix.Read(fd, buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return text, err
		case n == 0:
			return text, nil
		}
		if text = append(text, buf[:n]...); bytes.HasSuffix(text, []byte("\n")) {
			return text, nil
		}
	}
	return text, nil
}
