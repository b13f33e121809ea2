// Twenty goroutines, one engine: each submits a prompt of its own and reads its reply as it comes.
// What cannot be had at once waits in the engine's queue.
//
//	go run . MODEL [N [N_TOKENS]]      (pkg-config finds the library)
package main

/*
#cgo pkg-config: paceline
#include <paceline.h>
#include <stdlib.h>
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"unsafe"
)

func failure(err *C.pl_err) error {
	return errors.New(C.GoString(&err.text[0]))
}

func open(model string, nTokens, queue int) (*C.pl_engine, error) {
	path := C.CString(model)
	defer C.free(unsafe.Pointer(path))
	params := C.pl_params{model_path: path, n_streams: 4, ctx_tokens: C.uint32_t(nTokens + 64),
		queue_requests: C.uint32_t(queue)}
	var engine *C.pl_engine
	var err C.pl_err
	if C.pl_open(&engine, &params, &err) != C.PL_OK {
		return nil, failure(&err)
	}
	return engine, nil
}

func submit(engine *C.pl_engine, text string, nTokens int) (*C.pl_stream, error) {
	var err C.pl_err
	var prompt C.pl_tokens
	words := C.CString(text)
	defer C.free(unsafe.Pointer(words))
	if C.pl_tokenize(engine, words, C.size_t(len(text)), C.PL_TOKENIZE_BOS, &prompt, &err) != C.PL_OK {
		return nil, failure(&err)
	}
	defer C.pl_tokens_free(&prompt)
	request := C.pl_request{tokens: prompt.ids, n_tokens: prompt.n,
		max_tokens: C.uint32_t(nTokens), sampling: C.pl_sampling_default()}
	var stream *C.pl_stream
	if C.pl_submit(engine, &request, &stream, &err) != C.PL_OK {
		return nil, failure(&err)
	}
	return stream, nil
}

// ride returns a line of what was said. Only this goroutine takes the stream's events.
func ride(engine *C.pl_engine, number, nTokens int) (string, error) {
	stream, err := submit(engine, fmt.Sprintf("Rider %d says:", number), nTokens)
	if err != nil {
		return "", err
	}
	defer C.pl_stream_close(stream)
	var said strings.Builder
	for {
		var event C.pl_event
		if !C.pl_stream_next(stream, &event) {
			C.pl_stream_wait(stream, 1000)
			continue
		}
		said.Write(C.GoBytes(unsafe.Pointer(event.text), C.int(event.n_text_bytes)))
		if event.kind == C.PL_EVENT_END {
			return fmt.Sprintf("%d done %d %s", number, event.usage.n_reply, said.String()), nil
		}
	}
}

func number(at, otherwise int) int {
	if len(os.Args) > at {
		if n, err := strconv.Atoi(os.Args[at]); err == nil && n > 0 {
			return n
		}
	}
	return otherwise
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: streams MODEL [N [N_TOKENS]]")
		os.Exit(2)
	}
	n, nTokens := number(2, 20), number(3, 32)
	engine, err := open(os.Args[1], nTokens, n)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer C.pl_close(engine)
	lines, failures := make([]string, n), make([]error, n)
	var all sync.WaitGroup
	for i := 0; i < n; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			lines[i], failures[i] = ride(engine, i, nTokens)
		}(i)
	}
	all.Wait()
	for i, line := range lines {
		if failures[i] != nil {
			fmt.Fprintf(os.Stderr, "rider %d: %v\n", i, failures[i])
			continue
		}
		fmt.Println(line)
	}
}
