/* SPDX-License-Identifier: MIT */
/* Runs a model of encoding native on lbw's kernels, through ONNX Runtime's C interface. */
#include <stdio.h>

#include <lbw/lbw.h>
#include <onnxruntime_c_api.h>

/* Prints the error, if there is one. */
static int failed(const OrtApi *ort, OrtStatus *status)
{
    if (!status)
        return 0;
    fprintf(stderr, "native_session: %s\n", ort->GetErrorMessage(status));
    ort->ReleaseStatus(status);
    return 1;
}

int main(int argc, char **argv)
{
    const OrtApi *ort = OrtGetApiBase()->GetApi(17);
    OrtEnv *env = NULL;
    OrtSessionOptions *options = NULL;
    OrtSession *session = NULL;
    const char *library = NULL;
    struct lbw_error err = {0};
    size_t num_inputs = 0;
    if (argc != 2 || !ort) {
        fputs("usage: native_session MODEL.onnx (ONNX Runtime 1.17 or later)\n", stderr);
        return 2;
    }
    if (lbw_native_library(&library, &err) != LBW_OK) {
        fprintf(stderr, "native_session: %s\n", err.message);
        return 1;
    }
    int code = failed(ort, ort->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "sample", &env)) ||
               failed(ort, ort->CreateSessionOptions(&options)) ||
               failed(ort, ort->RegisterCustomOpsLibrary_V2(options, library)) ||
               failed(ort, ort->CreateSession(env, argv[1], options, &session)) ||
               failed(ort, ort->SessionGetInputCount(session, &num_inputs));
    if (!code)
        printf("%s: %zu input%s, with %s\n", argv[1], num_inputs, num_inputs == 1 ? "" : "s",
               library);
    ort->ReleaseSession(session);
    ort->ReleaseSessionOptions(options);
    ort->ReleaseEnv(env);
    return code;
}
