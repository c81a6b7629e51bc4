package main

import (
	"fmt"
	"reflect"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// filler sets every field of an object to a value that tells it from the others, the same ones in every run.
type filler struct {
	count int
	above map[reflect.Type]int
}

func fill(object runtime.Object) {
	(&filler{above: map[reflect.Type]int{}}).value(reflect.ValueOf(object).Elem())
}

func (f *filler) next() int {
	f.count++
	return f.count
}

// special sets what is no plain struct, and says whether it did.
func (f *filler) special(value reflect.Value) bool {
	moment := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	switch target := value.Addr().Interface().(type) {
	case *metav1.TypeMeta: // not on the wire
	case *metav1.Time:
		*target = metav1.NewTime(moment)
	case *metav1.MicroTime:
		*target = metav1.NewMicroTime(moment.Add(time.Microsecond))
	case *metav1.Duration:
		target.Duration = time.Duration(f.next()) * time.Second
	case *resource.Quantity:
		*target = resource.MustParse(fmt.Sprintf("%dm", 1001+f.next()))
	case *intstr.IntOrString:
		*target = intstr.FromInt32(int32(f.next()))
		if f.count%2 == 0 {
			*target = intstr.FromString(fmt.Sprintf("%d%%", f.count))
		}
	case *runtime.RawExtension:
		target.Raw = []byte(fmt.Sprintf(`{"spec":{"template":{"metadata":{"labels":{"n":"%d"}}},"text":"\u003c"}}`, f.next()))
	case *metav1.FieldsV1:
		target.SetRawBytes([]byte(fmt.Sprintf(`{"f:spec":{"f:n%d":{}}}`, f.next())))
	default:
		return false
	}
	return true
}

func (f *filler) value(value reflect.Value) {
	if value.CanAddr() && f.special(value) {
		return
	}
	switch value.Kind() {
	case reflect.Struct:
		f.fields(value)
	case reflect.Pointer:
		value.Set(reflect.New(value.Type().Elem()))
		f.value(value.Elem())
	case reflect.Slice:
		f.slice(value)
	case reflect.Map:
		f.entries(value)
	case reflect.String:
		value.SetString(fmt.Sprintf("é%d", f.next()))
	case reflect.Bool:
		value.SetBool(true)
	case reflect.Int32, reflect.Int64:
		value.SetInt(int64(f.next() * 100 * (1 - 2*(f.count%2))))
	case reflect.Uint8:
		value.SetUint(uint64(f.next() % 256))
	default:
		panic(fmt.Sprintf("no value for %s", value.Type()))
	}
}

// fields goes twice at most into a struct that contains itself.
func (f *filler) fields(value reflect.Value) {
	kind := value.Type()
	if f.above[kind] == 2 {
		return
	}
	f.above[kind]++
	for index := range kind.NumField() {
		f.value(value.Field(index))
	}
	f.above[kind]--
}

// slice makes one item of a struct, two of anything else.
func (f *filler) slice(value reflect.Value) {
	count := 2
	if value.Type().Elem().Kind() == reflect.Struct {
		count = 1
	}
	value.Set(reflect.MakeSlice(value.Type(), count, count))
	for index := range count {
		f.value(value.Index(index))
	}
}

func (f *filler) entries(value reflect.Value) {
	value.Set(reflect.MakeMap(value.Type()))
	for range 2 {
		key, inner := reflect.New(value.Type().Key()).Elem(), reflect.New(value.Type().Elem()).Elem()
		f.value(key)
		f.value(inner)
		value.SetMapIndex(key, inner)
	}
}
