/*
 * tsan_threads: C11 threads on pthreads, linked into the program of MODE=tsan alone.
 * librdkafka starts its threads by thrd_create and locks by mtx_lock, which glibc
 * resolves inside itself, where ThreadSanitizer sees neither. Must do nothing more
 * than glibc does.
 */
#include <errno.h>
#include <pthread.h>
#include <threads.h>

static pthread_mutex_t *mutex_of(mtx_t *mtx)
{
	return (pthread_mutex_t *)(void *)mtx;	/* as in glibc */
}

static pthread_cond_t *cond_of(cnd_t *cnd)
{
	return (pthread_cond_t *)(void *)cnd;
}

static int result_of(int rc)
{
	return rc == 0 ? thrd_success : thrd_error;
}

int thrd_create(thrd_t *thread, thrd_start_t start, void *arg)
{
	void *(*body)(void *) = (void *(*)(void *))(void (*)(void))start;

	return result_of(pthread_create(thread, NULL, body, arg));
}

int thrd_join(thrd_t thread, int *result)
{
	void *value = NULL;
	int rc = pthread_join(thread, &value);

	if (result)
		*result = (int)(long)value;
	return result_of(rc);
}

int mtx_init(mtx_t *mtx, int type)
{
	pthread_mutexattr_t attr;
	int rc;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, type & mtx_recursive ?
				  PTHREAD_MUTEX_RECURSIVE :
				  PTHREAD_MUTEX_NORMAL);
	rc = pthread_mutex_init(mutex_of(mtx), &attr);
	pthread_mutexattr_destroy(&attr);
	return result_of(rc);
}

int mtx_lock(mtx_t *mtx)
{
	return result_of(pthread_mutex_lock(mutex_of(mtx)));
}

int mtx_unlock(mtx_t *mtx)
{
	return result_of(pthread_mutex_unlock(mutex_of(mtx)));
}

void mtx_destroy(mtx_t *mtx)
{
	pthread_mutex_destroy(mutex_of(mtx));
}

int cnd_init(cnd_t *cnd)
{
	return result_of(pthread_cond_init(cond_of(cnd), NULL));
}

int cnd_signal(cnd_t *cnd)
{
	return result_of(pthread_cond_signal(cond_of(cnd)));
}

int cnd_broadcast(cnd_t *cnd)
{
	return result_of(pthread_cond_broadcast(cond_of(cnd)));
}

int cnd_wait(cnd_t *cnd, mtx_t *mtx)
{
	return result_of(pthread_cond_wait(cond_of(cnd), mutex_of(mtx)));
}

int cnd_timedwait(cnd_t *cnd, mtx_t *mtx, const struct timespec *until)
{
	int rc = pthread_cond_timedwait(cond_of(cnd), mutex_of(mtx), until);

	return rc == ETIMEDOUT ? thrd_timedout : result_of(rc);
}

void cnd_destroy(cnd_t *cnd)
{
	pthread_cond_destroy(cond_of(cnd));
}

void call_once(once_flag *flag, void (*f)(void))
{
	pthread_once((pthread_once_t *)(void *)flag, f);
}
