package main

import (
	"flag"
	"net"
)

// source: gives so many bytes to whoever connects, and ends the connection.
func source(arguments []string) {
	flags := flag.NewFlagSet("source", flag.ExitOnError)
	listen := flags.String("listen", "", "address")
	size := flags.Int("bytes", 0, "bytes for each connection")
	check(flags.Parse(arguments))
	listener, err := net.Listen("tcp", *listen)
	check(err)
	piece := make([]byte, 64*1024)
	for {
		connection, err := listener.Accept()
		check(err)
		go func() {
			defer connection.Close()
			for left := *size; left > 0; left -= len(piece) {
				if _, err := connection.Write(piece[:min(left, len(piece))]); err != nil {
					return
				}
			}
		}()
	}
}
