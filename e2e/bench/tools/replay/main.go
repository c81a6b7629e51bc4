// A stand-in for the API server that is cheap enough to leave the machine to the proxies: it asks the real one once
// for each of some paths, and from then on answers them with the very bytes that it got. Everything else (discovery,
// the proxy's own lists and watches) goes to the real API server, with the bearer token that came with it.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
)

type replayer struct {
	target   *url.URL
	answers  map[string][]byte
	upstream *http.Transport
}

func main() {
	target := flag.String("target", "", "URL of the API server")
	ca := flag.String("ca", "", "its CA, PEM; clients' certificates are of it too")
	cert := flag.String("cert", "", "serving certificate, PEM")
	key := flag.String("key", "", "its key, PEM")
	clientCert := flag.String("client-cert", "", "certificate with which the answers are asked for, PEM")
	clientKey := flag.String("client-key", "", "its key, PEM")
	listen := flag.String("listen", "", "address")
	paths := flag.String("paths", "", "what is answered from memory, separated by commas")
	flag.Parse()
	host, err := url.Parse(*target)
	check(err)
	pem, err := os.ReadFile(*ca)
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	asking, err := tls.LoadX509KeyPair(*clientCert, *clientKey)
	check(err)
	serving, err := tls.LoadX509KeyPair(*cert, *key)
	check(err)
	made := &replayer{host, map[string][]byte{}, transport(roots)}
	for _, path := range strings.Split(*paths, ",") {
		made.answers[path] = record(host, path, transport(roots, asking))
	}
	listener, err := tls.Listen("tcp", *listen, &tls.Config{
		Certificates: []tls.Certificate{serving}, NextProtos: []string{"http/1.1"},
		ClientCAs: roots, ClientAuth: tls.VerifyClientCertIfGiven,
	})
	check(err)
	for {
		connection, err := listener.Accept()
		check(err)
		go made.serve(connection)
	}
}

func transport(roots *x509.CertPool, certificates ...tls.Certificate) *http.Transport {
	config := &tls.Config{RootCAs: roots, Certificates: certificates, NextProtos: []string{"http/1.1"}}
	return &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 256, DisableCompression: true}
}

// record is the answer of the real API server as it was on the wire.
func record(host *url.URL, path string, upstream *http.Transport) []byte {
	request, err := http.NewRequest(http.MethodGet, host.String()+path, nil)
	check(err)
	request.Header.Set("Accept", "application/json")
	response, err := upstream.RoundTrip(request)
	check(err)
	if response.StatusCode != http.StatusOK {
		check(fmt.Errorf("%s: %s", path, response.Status))
	}
	dump, err := httputil.DumpResponse(response, true)
	check(err)
	return dump
}

func (r *replayer) serve(connection net.Conn) {
	defer connection.Close()
	reader := bufio.NewReader(connection)
	for {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		if answer, known := r.answers[request.URL.Path]; known && request.Method == http.MethodGet && request.URL.RawQuery == "" {
			_, err = connection.Write(answer)
		} else {
			err = r.forward(connection, request)
		}
		if err != nil {
			return
		}
	}
}

// forward passes one request on, and its answer back piece by piece.
func (r *replayer) forward(connection net.Conn, request *http.Request) error {
	request.URL.Scheme, request.URL.Host, request.RequestURI = r.target.Scheme, r.target.Host, ""
	response, err := r.upstream.RoundTrip(request)
	if err != nil {
		var refused bytes.Buffer
		fmt.Fprintf(&refused, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		_, _ = connection.Write(refused.Bytes())
		return err
	}
	defer response.Body.Close()
	return response.Write(connection)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
