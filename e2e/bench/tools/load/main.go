// A small load client: keep-alive connections, work that is bounded in count and time, one line of JSON at the end.
//
// Every command makes its connections first, says "ready", and begins when a line comes on its standard input, so
// that handshakes are not counted where they are not meant.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"sort"
)

func main() {
	commands := map[string]func([]string){
		"requests": requests, "connect": connect, "idle": idle, "watch": watch, "source": source,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		log.Fatal("usage: load requests|connect|idle|watch|source [flags]")
	}
	commands[os.Args[1]](os.Args[2:])
}

// input is where the measuring side says when.
var input = bufio.NewReader(os.Stdin)

// ready tells that everything is connected, and waits for the word to begin (or to end).
func ready() {
	fmt.Println("ready")
	_, _ = input.ReadString('\n')
}

func tell(result map[string]any) {
	check(json.NewEncoder(os.Stdout).Encode(result))
}

// quantile of durations in milliseconds; 0 of none.
func quantile(sorted []float64, part float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(float64(len(sorted))*part))]
}

func flat(parts [][]float64) []float64 {
	var all []float64
	for _, some := range parts {
		all = append(all, some...)
	}
	sort.Float64s(all)
	return all
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
