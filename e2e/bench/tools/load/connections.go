package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// connect: new TLS connections, full handshakes, one request over each, for some time.
func connect(arguments []string) {
	flags := flag.NewFlagSet("connect", flag.ExitOnError)
	asked := targetFlags(flags)
	connections := flags.Int("connections", 4, "handshakes at a time")
	most := flags.Int64("requests", 1000, "connections in all, at most")
	seconds := flags.Float64("seconds", 2, "time in all, at most")
	check(flags.Parse(arguments))
	target := asked()
	ready()
	var next, failed atomic.Int64
	times := make([][]float64, *connections)
	start := time.Now()
	end := start.Add(time.Duration(*seconds * float64(time.Second)))
	each(make([]*connection, *connections), func(number int, _ **connection) {
		for time.Now().Before(end) && next.Add(1) <= *most {
			began := time.Now()
			var held *connection
			if !step(target, &held, http.MethodGet, target.path, "", http.StatusOK) {
				failed.Add(1)
			}
			held.close()
			times[number] = append(times[number], milliseconds(began))
		}
	})
	all := flat(times)
	tell(map[string]any{
		"requests": len(all), "failed": failed.Load(), "seconds": time.Since(start).Seconds(),
		"p50": quantile(all, 0.5), "p99": quantile(all, 0.99),
	})
}

// idle: connections that have asked once (or hold a watch that has nothing to tell), until a line comes.
func idle(arguments []string) {
	flags := flag.NewFlagSet("idle", flag.ExitOnError)
	asked := targetFlags(flags)
	connections := flags.Int("connections", 2000, "connections")
	watching := flags.Bool("watch", false, "hold a watch on each")
	atOnce := flags.Int("at-once", 16, "how many are made at a time")
	check(flags.Parse(arguments))
	target := asked()
	version := ""
	if *watching {
		version = resourceVersion(target)
	}
	places := make(chan struct{}, *atOnce)
	held := make([]*connection, *connections)
	var failed atomic.Int64
	each(held, func(_ int, mine **connection) {
		places <- struct{}{}
		defer func() { <-places }()
		if failed.Load() > 0 {
			return // one that is refused is enough
		}
		var err error
		if *watching {
			*mine, _, err = target.watch(version)
		} else if !step(target, mine, http.MethodGet, target.path, "", http.StatusOK) {
			err = fmt.Errorf("GET %s failed", target.path)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			failed.Add(1)
		}
	})
	if failed.Load() > 0 {
		os.Exit(1)
	}
	ready()
	for _, one := range held {
		one.close()
	}
	tell(map[string]any{"requests": len(held), "failed": failed.Load()})
}
