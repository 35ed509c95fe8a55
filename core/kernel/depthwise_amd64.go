//go:build amd64 && !noasm

package kernel

func init() {
	depthwiseSets["avx512"] = &depthwiseSet{depthwiseAVX512, depthwiseGradientAVX512, depthwiseCopyAVX512}
	depthwiseSets["avx2"] = &depthwiseSet{depthwiseAVX2, depthwiseGradientAVX2, depthwiseCopyAVX2}
}
