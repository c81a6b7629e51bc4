package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// requests: as many as were asked for, or as fit into the time, over connections that were made before.
func requests(arguments []string) {
	flags := flag.NewFlagSet("requests", flag.ExitOnError)
	asked := targetFlags(flags)
	create := flags.Bool("create", false, "create and delete ConfigMaps instead of getting")
	name := flags.String("name", "bench", "prefix of what is created")
	connections := flags.Int("connections", 8, "connections")
	most := flags.Int64("requests", 1000, "requests in all, at most")
	seconds := flags.Float64("seconds", 60, "time in all, at most")
	check(flags.Parse(arguments))
	target := asked()
	workers := connected(target, *connections, *create)
	ready()
	var next, failed atomic.Int64
	times := make([][]float64, len(workers))
	start := time.Now()
	end := start.Add(time.Duration(*seconds * float64(time.Second)))
	each(workers, func(number int, held **connection) {
		for time.Now().Before(end) {
			count := next.Add(1)
			if count > *most {
				return
			}
			began := time.Now()
			if !one(target, held, *create, fmt.Sprintf("%s-%d", *name, count)) {
				failed.Add(1)
			}
			times[number] = append(times[number], milliseconds(began))
		}
	})
	all := flat(times)
	tell(map[string]any{
		"requests": len(all), "failed": failed.Load(), "seconds": time.Since(start).Seconds(),
		"p50": quantile(all, 0.5), "p99": quantile(all, 0.99),
	})
}

// connected are connections over each of which one request has been made. What fails here fails in earnest.
func connected(target *target, count int, create bool) []*connection {
	made := make([]*connection, count)
	each(made, func(number int, held **connection) {
		found, err := target.dial()
		check(err)
		if !create {
			code, _, err := found.do(http.MethodGet, target.path, "", false)
			check(err)
			if code != http.StatusOK {
				check(fmt.Errorf("GET %s: %d", target.path, code))
			}
		}
		*held = found
	})
	return made
}

func each(held []*connection, work func(int, **connection)) {
	var wait sync.WaitGroup
	for number := range held {
		wait.Add(1)
		go func() {
			defer wait.Done()
			work(number, &held[number])
		}()
	}
	wait.Wait()
}

// one piece of work: a GET, or a POST and the DELETE after it. Whether it went well; a broken connection is replaced.
func one(target *target, held **connection, create bool, name string) bool {
	if !create {
		return step(target, held, http.MethodGet, target.path, "", http.StatusOK)
	}
	body := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"` + name + `"},"data":{"key":"value"}}`
	return step(target, held, http.MethodPost, target.path, body, http.StatusCreated) &&
		step(target, held, http.MethodDelete, target.path+"/"+name, "", http.StatusOK)
}

func step(target *target, held **connection, method, path, body string, wanted int) bool {
	if *held == nil {
		made, err := target.dial()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return false
		}
		*held = made
	}
	code, _, err := (*held).do(method, path, body, false)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s %s: %v\n", method, path, err)
		(*held).close()
		*held = nil
	} else if code != wanted {
		fmt.Fprintf(os.Stderr, "%s %s: %d\n", method, path, code)
	}
	return err == nil && code == wanted
}

func milliseconds(since time.Time) float64 {
	return float64(time.Since(since).Microseconds()) / 1000
}
