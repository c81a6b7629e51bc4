package main

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group and version that the operator works with; v1alpha1 of the same objects is for old clients only.
var version = schema.GroupVersion{Group: "example.com", Version: "v1"}

// Site is one page, served by some pods.
type Site struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              SiteSpec   `json:"spec,omitempty"`
	Status            SiteStatus `json:"status,omitempty"`
}

// SiteSpec says what is wished for; the API server fills in replicas.
type SiteSpec struct {
	Content  string `json:"content"`
	Replicas int32  `json:"replicas"`
}

// SiteStatus says what is there; replicas and selector serve the subresource scale.
type SiteStatus struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Replicas           int32              `json:"replicas"`
	Selector           string             `json:"selector,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
}

// SiteList is a page of sites.
type SiteList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Site `json:"items"`
}

func (s *Site) copy() *Site {
	found := *s
	found.ObjectMeta = *s.ObjectMeta.DeepCopy()
	found.Status.Conditions = append([]metav1.Condition(nil), s.Status.Conditions...)
	return &found
}

// DeepCopyObject makes Site an object of the API.
func (s *Site) DeepCopyObject() runtime.Object { return s.copy() }

// DeepCopyObject makes SiteList an object of the API.
func (l *SiteList) DeepCopyObject() runtime.Object {
	found := *l
	found.ListMeta = *l.ListMeta.DeepCopy()
	found.Items = make([]Site, len(l.Items))
	for at := range l.Items {
		found.Items[at] = *l.Items[at].copy()
	}
	return &found
}

func register(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(version, &Site{}, &SiteList{})
	metav1.AddToGroupVersion(scheme, version)
	return nil
}
