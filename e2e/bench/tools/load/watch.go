package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// watch: watchers on one collection of ConfigMaps, and one writer that changes one of them at a given pace, straight
// at the API server. The time of writing travels in the object, so each watcher can say how long it was under way.
func watch(arguments []string) {
	flags := flag.NewFlagSet("watch", flag.ExitOnError)
	asked := targetFlags(flags)
	writerFlags := flag.NewFlagSet("writer", flag.ExitOnError)
	writing := targetFlags(writerFlags)
	writer := flags.String("writer", "", "the writer's flags: those of a target, separated by blanks")
	watchers := flags.Int("watchers", 1, "watchers")
	events := flags.Int("events", 20, "changes that are written")
	rate := flags.Float64("rate", 10, "changes a second")
	check(flags.Parse(arguments))
	check(writerFlags.Parse(strings.Fields(*writer)))
	target := asked()
	hand, err := writing().dial()
	check(err)
	change(hand, 0)
	streams := watching(target, *watchers)
	ready()
	delays := make([][]float64, *watchers)
	var heard atomic.Int64
	for number, stream := range streams {
		go func() {
			for range *events {
				delay, err := next(stream)
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				delays[number] = append(delays[number], delay)
				heard.Add(1)
			}
		}()
	}
	start := time.Now()
	late := write(hand, *events, *rate)
	wanted := int64(*watchers * *events)
	for end := time.Now().Add(deadline); heard.Load() < wanted && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	took := time.Since(start).Seconds()
	all := flat(delays)
	tell(map[string]any{
		"requests": wanted, "failed": wanted - heard.Load(), "seconds": took, "late": late,
		"p50": quantile(all, 0.5), "p99": quantile(all, 0.99),
	})
}

// write changes the object at the given pace; how many changes came later than they should.
func write(hand *connection, events int, rate float64) int {
	late := 0
	start := time.Now()
	for number := range events {
		due := start.Add(time.Duration(float64(number) / rate * float64(time.Second)))
		time.Sleep(time.Until(due))
		if time.Since(due) > time.Duration(float64(time.Second)/rate) {
			late++
		}
		change(hand, time.Now().UnixMicro())
	}
	return late
}

func change(hand *connection, sent int64) {
	name := hand.target.path[strings.LastIndexByte(hand.target.path, '/')+1:]
	body := fmt.Sprintf(
		`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q},"data":{"key":"value","sent":"%d"}}`, name, sent)
	code, answer, err := hand.do(http.MethodPut, hand.target.path, body, true)
	check(err)
	if code != http.StatusOK {
		check(fmt.Errorf("PUT %s: %d %s", hand.target.path, code, answer))
	}
}

func watching(target *target, count int) []*bufio.Reader {
	version := resourceVersion(target)
	streams := make([]*bufio.Reader, count)
	places := make(chan struct{}, 16)
	each(make([]*connection, count), func(number int, _ **connection) {
		places <- struct{}{}
		defer func() { <-places }()
		_, stream, err := target.watch(version)
		check(err)
		streams[number] = bufio.NewReaderSize(stream, 4096)
	})
	return streams
}

// watch opens one watch on the target's collection from a version on: the connection, and the stream of its events.
func (t *target) watch(version string) (*connection, io.Reader, error) {
	made, err := t.dial()
	if err != nil {
		return nil, nil, err
	}
	check(made.tls.SetDeadline(time.Now().Add(deadline)))
	if err := made.send(http.MethodGet, t.path+"?watch=1&timeoutSeconds=600&resourceVersion="+version, ""); err != nil {
		return made, nil, err
	}
	response, err := http.ReadResponse(made.reader, nil)
	if err != nil {
		return made, nil, err
	}
	if response.StatusCode != http.StatusOK {
		return made, nil, fmt.Errorf("watch %s: %d", t.path, response.StatusCode)
	}
	check(made.tls.SetDeadline(time.Time{}))
	return made, response.Body, nil
}

func resourceVersion(target *target) string {
	hand, err := target.dial()
	check(err)
	defer hand.close()
	code, answer, err := hand.do(http.MethodGet, target.path, "", true)
	check(err)
	var list struct {
		Metadata struct{ ResourceVersion string }
	}
	check(json.Unmarshal(answer, &list))
	if code != http.StatusOK || list.Metadata.ResourceVersion == "" {
		check(fmt.Errorf("list %s: %d", target.path, code))
	}
	return list.Metadata.ResourceVersion
}

var mark = []byte(`"sent":"`)

// next waits for the next event: the milliseconds since it was written.
func next(stream *bufio.Reader) (float64, error) {
	for {
		line, err := stream.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		_, rest, found := bytes.Cut(line, mark)
		digits, _, _ := bytes.Cut(rest, []byte{'"'})
		sent, err := strconv.ParseInt(string(digits), 10, 64)
		if !found || err != nil || sent == 0 {
			continue
		}
		return float64(time.Now().UnixMicro()-sent) / 1000, nil
	}
}
