package cluster

import (
	"errors"

	"go.yaml.in/yaml/v3"
)

// The Kubernetes kinds, as far as they matter here. Fields that are not listed are
// ignored, as are those that only Cilium's or Kubernetes' controllers need.

type meta struct {
	Name              string            `json:"name"`
	Namespace         string            `json:"namespace"`
	Labels            map[string]string `json:"labels"`
	Annotations       map[string]string `json:"annotations"`
	DeletionTimestamp string            `json:"deletionTimestamp"`
}

type namespaceDoc struct {
	Metadata meta `json:"metadata"`
}

type nodeDoc struct {
	Metadata meta `json:"metadata"`
	Status   struct {
		Addresses []struct {
			Type    string `json:"type"`
			Address string `json:"address"`
		} `json:"addresses"`
	} `json:"status"`
}

type ciliumNodeDoc struct {
	Metadata meta `json:"metadata"`
	Spec     struct {
		Addresses []struct {
			Type string `json:"type"`
			IP   string `json:"ip"`
		} `json:"addresses"`
		Health struct {
			IPv4 ipv4 `json:"ipv4"`
		} `json:"health"`
		IPAM struct {
			PodCIDRs []cidr4 `json:"podCIDRs"`
		} `json:"ipam"`
	} `json:"spec"`
}

// nodeAnnotations are what we read from a Node's or CiliumNode's annotations.
type nodeAnnotations struct {
	NodeID        uint16 `json:"hooklab.io/node-id" allow:"1..65535"`
	HostID        uint16 `json:"hooklab.io/host-id" allow:"1..65534"`
	MAC           MAC    `json:"hooklab.io/mac"`
	HostMAC       MAC    `json:"hooklab.io/host-mac"`
	NetMAC        MAC    `json:"hooklab.io/net-mac"`
	VXLANMAC      MAC    `json:"hooklab.io/vxlan-mac"`
	NetIfindex    uint32 `json:"hooklab.io/net-ifindex" allow:"3..2147483647"`
	HostIfindex   uint32 `json:"hooklab.io/host-ifindex" allow:"3..2147483647"`
	VXLANIfindex  uint32 `json:"hooklab.io/vxlan-ifindex" allow:"3..2147483647"`
	Engine        string `json:"hooklab.io/engine" allow:"emulated|bytecode|kernel"`
	HealthID      uint16 `json:"hooklab.io/health-id" allow:"1..65534"`
	HealthMAC     MAC    `json:"hooklab.io/health-mac"`
	HealthNodeMAC MAC    `json:"hooklab.io/health-node-mac"`
	HealthIfindex uint32 `json:"hooklab.io/health-ifindex" allow:"6..2147483647"`
}

type podDoc struct {
	Metadata meta `json:"metadata"`
	Spec     struct {
		NodeName       string `json:"nodeName"`
		ServiceAccount string `json:"serviceAccountName"`
		HostNetwork    bool   `json:"hostNetwork"`
		Containers     []struct {
			Ports []struct {
				Name          string `json:"name"`
				ContainerPort uint16 `json:"containerPort" allow:"1..65535"`
			} `json:"ports"`
		} `json:"containers"`
	} `json:"spec"`
	Status struct {
		Phase      string `json:"phase"`
		PodIP      ipv4   `json:"podIP"`
		Conditions []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"conditions"`
	} `json:"status"`
}

// podAnnotations are what we read from a Pod's or CiliumEndpoint's annotations. The
// commands in a Pod's containers are not run; hooklab.io/run is.
type podAnnotations struct {
	Run      command `json:"hooklab.io/run"`
	IP       ipv4    `json:"hooklab.io/ip"`
	ID       uint16  `json:"hooklab.io/endpoint-id" allow:"1..65534"`
	Identity uint32  `json:"hooklab.io/identity" allow:"100..16777215"`
	MAC      MAC     `json:"hooklab.io/mac"`
	NodeMAC  MAC     `json:"hooklab.io/node-mac"`
	Ifindex  uint32  `json:"hooklab.io/ifindex" allow:"6..2147483647"`
	Device   string  `json:"hooklab.io/device"`
}

// command is a list of words in one annotation, as YAML or JSON writes lists.
type command []string

func (c *command) UnmarshalText(text []byte) error {
	if err := yaml.Unmarshal(text, (*[]string)(c)); err != nil {
		return errors.New(`not a command; want a list such as ["nc", "-lk", "80"]`)
	}
	return nil
}

type ciliumEndpointDoc struct {
	Metadata meta `json:"metadata"`
	Status   struct {
		ID       uint16 `json:"id" allow:"1..65534"`
		Identity struct {
			ID     uint32   `json:"id" allow:"1..16777215"`
			Labels []string `json:"labels"`
		} `json:"identity"`
		Networking struct {
			Addressing []struct {
				IPv4 ipv4 `json:"ipv4"`
			} `json:"addressing"`
			Node ipv4 `json:"node"`
		} `json:"networking"`
	} `json:"status"`
}

type serviceDoc struct {
	Metadata meta `json:"metadata"`
	Spec     struct {
		Type      string            `json:"type"`
		ClusterIP string            `json:"clusterIP"`
		Selector  map[string]string `json:"selector"`
		Ports     []struct {
			Name       string `json:"name"`
			Protocol   string `json:"protocol" allow:"TCP|UDP|SCTP"`
			Port       uint16 `json:"port" allow:"1..65535"`
			TargetPort string `json:"targetPort"`
		} `json:"ports"`
	} `json:"spec"`
}

// serviceAnnotations are what we read from a Service's annotations.
type serviceAnnotations struct {
	ServiceIDs idList[portKey]   `json:"hooklab.io/service-ids"`
	BackendIDs idList[addrPort4] `json:"hooklab.io/backend-ids"`
}

type endpointSliceDoc struct {
	Metadata    meta   `json:"metadata"`
	AddressType string `json:"addressType" allow:"IPv4|IPv6|FQDN"`
	Endpoints   []struct {
		Addresses  []string `json:"addresses"`
		Conditions struct {
			Ready       *bool `json:"ready"`
			Terminating *bool `json:"terminating"`
		} `json:"conditions"`
	} `json:"endpoints"`
	Ports []slicePort `json:"ports"`
}

type slicePort struct {
	Name     string `json:"name"`
	Protocol string `json:"protocol" allow:"TCP|UDP|SCTP"`
	Port     uint16 `json:"port" allow:"1..65535"`
}

// sliceAnnotations are what we read from an EndpointSlice's annotations.
type sliceAnnotations struct {
	// ServicePort tells which of the service's ports the slice is for, where that has
	// no name.
	ServicePort uint16 `json:"hooklab.io/service-port" allow:"1..65535"`

	BackendIDs idList[addrPort4] `json:"hooklab.io/backend-ids"`
}
