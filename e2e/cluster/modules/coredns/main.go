// CoreDNS with the plugins that a cluster needs, and without the clouds that its own main brings along.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/rewrite"
	_ "github.com/coredns/coredns/plugin/template"
)

func main() {
	// The order in which a query passes them, as in CoreDNS' own plugin.cfg.
	dnsserver.Directives = []string{"bind", "ready", "errors", "log", "cache", "rewrite", "template", "kubernetes"}
	coremain.Run()
}
