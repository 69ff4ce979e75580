// Cluster DNS for the node of the tests: CoreDNS with the plugins that its Corefile names, and no other.
// A program of CoreDNS's own packages is the documented way of choosing plugins; all of them would be 80 MB.
package main

import (
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
)

func main() {
	coremain.Run()
}
