// A plain reverse proxy: what Go's standard library gives, rewriting nothing. The reference that vcproxy is measured against.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
)

func main() {
	target := flag.String("target", "", "URL of the API server")
	ca := flag.String("ca", "", "its CA, PEM")
	cert := flag.String("cert", "", "serving certificate, PEM")
	key := flag.String("key", "", "its key, PEM")
	clientCert := flag.String("client-cert", "", "certificate towards the API server, PEM")
	clientKey := flag.String("client-key", "", "its key, PEM")
	listen := flag.String("listen", "", "address")
	flag.Parse()
	host, err := url.Parse(*target)
	check(err)
	pem, err := os.ReadFile(*ca)
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(*clientCert, *clientKey)
	check(err)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(host)
			r.Out.Header.Del("Authorization")
		},
		FlushInterval: -1,
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}},
			MaxIdleConnsPerHost: 256,
			DisableCompression:  true,
		},
	}
	server := &http.Server{
		Addr:      *listen,
		Handler:   proxy,
		TLSConfig: &tls.Config{NextProtos: []string{"http/1.1"}},
	}
	check(server.ListenAndServeTLS(*cert, *key))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
