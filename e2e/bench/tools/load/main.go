// A small load client: keep-alive connections, a bounded number of requests, one line of JSON with the latencies.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	url := flag.String("url", "", "what to get, or the collection to create in")
	create := flag.Bool("create", false, "create and delete ConfigMaps instead of getting")
	name := flag.String("name", "bench", "prefix of what is created")
	ca := flag.String("ca", "", "the server's CA, PEM")
	cert := flag.String("cert", "", "client certificate, PEM")
	key := flag.String("key", "", "its key, PEM")
	token := flag.String("token", "", "file with a bearer token")
	connections := flag.Int("connections", 8, "connections")
	requests := flag.Int("requests", 1000, "requests in all")
	flag.Parse()
	client := &http.Client{Timeout: 30 * time.Second, Transport: transport(*ca, *cert, *key, *connections)}
	bearer := ""
	if *token != "" {
		raw, err := os.ReadFile(*token)
		check(err)
		bearer = strings.TrimSpace(string(raw))
	}
	var next, failed atomic.Int64
	times := make([][]float64, *connections)
	var wait sync.WaitGroup
	for worker := range *connections {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for {
				number := next.Add(1)
				if number > int64(*requests) {
					return
				}
				start := time.Now()
				if !one(client, *url, bearer, *create, fmt.Sprintf("%s-%d", *name, number)) {
					failed.Add(1)
				}
				times[worker] = append(times[worker], float64(time.Since(start).Microseconds())/1000)
			}
		}()
	}
	wait.Wait()
	var all []float64
	for _, some := range times {
		all = append(all, some...)
	}
	sort.Float64s(all)
	result := map[string]any{"requests": len(all), "failed": failed.Load(), "p50": all[len(all)/2], "p99": all[len(all)*99/100]}
	check(json.NewEncoder(os.Stdout).Encode(result))
}

func transport(ca, cert, key string, connections int) *http.Transport {
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(ca)
	check(err)
	roots.AppendCertsFromPEM(pem)
	config := &tls.Config{RootCAs: roots, NextProtos: []string{"http/1.1"}}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		check(err)
		config.Certificates = []tls.Certificate{pair}
	}
	return &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections, DisableCompression: true}
}

func one(client *http.Client, url, bearer string, create bool, name string) bool {
	if !create {
		return do(client, http.MethodGet, url, bearer, "") == http.StatusOK
	}
	body := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"` + name + `"},"data":{"key":"value"}}`
	made := do(client, http.MethodPost, url, bearer, body) == http.StatusCreated
	return do(client, http.MethodDelete, url+"/"+name, bearer, "") == http.StatusOK && made
}

func do(client *http.Client, method, url, bearer, body string) int {
	request, err := http.NewRequest(method, url, bytes.NewBufferString(body))
	check(err)
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := client.Do(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	if err != nil {
		return 0
	}
	return response.StatusCode
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
