package live

import "strings"

// explain says why a difference is legitimate, empty if it is not.
func (c *comparison) explain(d *Difference) string {
	checksum := len(d.Fields) == 1 && d.Fields[0].Field == "udp checksum" && strings.Contains(d.What, " VXLAN ")
	if checksum && c.left.kernel != c.right.kernel {
		return "hooklab hands several packets for another node to the kernel at once where they wait for each other (UDP_SEGMENT), " +
			"and then the kernel fills in the tunnel's outer UDP checksum; a VXLAN device leaves it out. RFC 7348 lets receivers take both"
	}
	return ""
}
